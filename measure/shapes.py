"""Whether what a file of a run holds has the kinds of values that a run has.

A file can be whole JSON with all its keys and still hold a text where a number belongs: another
tool's, another version's, or one that somebody edited. Who reads it should learn that once, where
it is opened, and not from whatever first counts with it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MOST = 1e18


@dataclass(frozen=True)
class Kind:
    """One value: what it may be, and how that is called in an error."""

    called: str
    types: tuple[type, ...]
    least: float = -_MOST
    most: float = _MOST
    missing: bool = False

    def problem(self, value: Any) -> str | None:
        """What is wrong with the value; `None` if nothing is."""
        if value is None and self.missing:
            return None
        if not isinstance(value, self.types) or (
            isinstance(value, bool) and bool not in self.types
        ):
            return f"is no {self.called}"
        if isinstance(value, int | float):
            within = math.isfinite(value) if isinstance(value, float) else True
            if not within or not self.least <= value <= self.most:
                return f"is no {self.called} that a run can have"
        return None


@dataclass(frozen=True)
class Anything:
    """Whatever JSON can hold."""

    missing: bool = True


@dataclass(frozen=True)
class Each:
    """A list whose members are all of one shape; `length` of them where that is fixed."""

    of: "Shape"
    length: int | None = None
    missing: bool = False


@dataclass(frozen=True)
class Members:
    """An object with any keys and values of one shape."""

    of: "Shape"
    missing: bool = False


@dataclass(frozen=True)
class Keys:
    """An object with these keys: all of `needed`, and of `known` those that are there.

    Other keys are let be: a later version may write more.
    """

    needed: Mapping[str, "Shape"]
    known: Mapping[str, "Shape"]
    missing: bool = False


Shape = Anything | Kind | Each | Members | Keys

ANYTHING = Anything()
TEXT = Kind("text", (str,))
TEXT_OR_NOTHING = Kind("text", (str,), missing=True)
COUNT = Kind("count", (int,), least=0)
COUNT_OR_NOTHING = Kind("count", (int,), least=0, missing=True)
NUMBER = Kind("number", (int, float))
NUMBER_OR_NOTHING = Kind("number", (int, float), missing=True)
LIMIT_OR_NOTHING = Kind("limit above zero", (int, float), least=1e-12, missing=True)
YES_OR_NO = Kind("true or false", (bool,))
YEAR_9999_S = 253_402_000_000.0
MOMENT = Kind("time in seconds since 1970", (int, float), least=0, most=YEAR_9999_S)


def problem(value: Any, shape: Shape, where: str) -> str | None:
    """What is wrong in `value`, the first thing found: `requests.total is no count`.

    Args:
        value: what JSON held.
        shape: what it should be.
        where: what the value is called.
    """
    if value is None and shape.missing:
        return None
    if isinstance(shape, Anything):
        return None
    if isinstance(shape, Kind):
        wrong = shape.problem(value)
        return f"{where} {wrong}" if wrong else None
    if isinstance(shape, Each):
        if not isinstance(value, list) or shape.length not in (None, len(value)):
            return f"{where} is no list" + (f" of {shape.length}" if shape.length else "")
        return _first((one, shape.of, f"{where}[{place}]") for place, one in enumerate(value))
    if not isinstance(value, Mapping):
        return f"{where} is no object"
    if isinstance(shape, Members):
        return _first((one, shape.of, f"{where}.{key[:80]}") for key, one in value.items())
    absent = [key for key in shape.needed if key not in value]
    if absent:
        return f"{where} has no {', '.join(absent)}"
    wanted = {**shape.needed, **{key: of for key, of in shape.known.items() if key in value}}
    return _first((value[key], of, f"{where}.{key}") for key, of in wanted.items())


def _first(parts: Any) -> str | None:
    return next((wrong for part in parts if (wrong := problem(*part))), None)
