"""What people call the quantities of a run, and how they are shown. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dashboard.units import Unit
from measure.table import TITLES, in_one_piece, titles_of

LEVEL_TITLES = {"p999": "p99.9"}
"""What people call a quantile where that is not its key."""


@dataclass(frozen=True)
class Quantity:
    """One quantity of a run's summary."""

    key: str
    title: str
    unit: Unit
    help: str


QUANTITIES = (
    Quantity("ttft_s", TITLES["ttft_s"], "s", "First content chunk minus sent."),
    Quantity(
        "ttft_from_schedule_s",
        TITLES["ttft_from_schedule_s"],
        "s",
        "First content chunk minus the time the arrival process wanted the request sent. The "
        "headline of an open loop.",
    ),
    Quantity(
        "itl_s",
        TITLES["itl_s"],
        "s",
        "Mean time between tokens of a request: (last content − first content) / (tokens after "
        "the first chunk). One value a request.",
    ),
    Quantity(
        "chunk_gap_s",
        TITLES["chunk_gap_s"],
        "s",
        "Time between content chunks, pooled over requests. Not ITL where a chunk holds several "
        "tokens.",
    ),
    Quantity("tpot_s", TITLES["tpot_s"], "s", "(E2E − TTFT) / (output tokens − 1)."),
    Quantity("e2e_s", TITLES["e2e_s"], "s", "Last content byte minus sent."),
)


def of_runs(*summaries: Mapping[str, Any]) -> tuple[Quantity, ...]:
    """The quantities that say something of their own about these runs, as they are called there.

    Where every answer came in one piece its TTFT is its E2E, and is left out.
    """
    titles, hidden = titles_of(*summaries), "ttft_s" if in_one_piece(*summaries) else ""
    return tuple(replace(one, title=titles[one.key]) for one in QUANTITIES if one.key != hidden)


def headline(measured: Sequence[str], *, open_loop: bool) -> str:
    """What to show first of these keys: of open loops the time from schedule, as tiles do.

    From sending alone the wait is hidden that a late client adds (coordinated omission).
    """
    first = "ttft_from_schedule_s"
    return first if open_loop and first in measured else measured[0]


def quantity(key: str) -> Quantity | None:
    """The quantity of that key, or `None`."""
    return next((one for one in QUANTITIES if one.key == key), None)
