"""One line of the doctor's table."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Check:
    """What was looked at, how it is, and what to do if it is not well.

    A `note` is no fault; of what is `missing`, `needed` says whether the lab cannot do without.
    """

    what: str
    state: Literal["ok", "missing", "note"]
    found: str
    advice: str = ""
    needed: bool = True


def note(what: str, found: str, advice: str = "") -> Check:
    """A line that is no fault."""
    return Check(what, "note", found, advice, needed=False)


def lacking(what: str, found: str, advice: str) -> Check:
    """A line of something missing that only some of the lab needs."""
    return Check(what, "missing", found, advice, needed=False)
