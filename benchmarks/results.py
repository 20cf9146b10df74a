"""What came of one run of one tool, as it is kept in a file. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.contract import Figures


@dataclass(frozen=True)
class Measured:
    """The tool's figures and the true ones, under its own definitions, and what it cost.

    `cpu_us_per_token`: CPU of the tool's whole process tree from the first request to the last
    token. `server_late_p99_s`: how much later than due the server beside it sent. `streams_most`
    and `streams_mean`: answers under way at once, as the server saw it; the mean is of the middle
    half of the time. `cut`: answers the tool did not wait for.
    """

    reported: Figures
    true: Figures
    cpu_us_per_token: float
    tokens_per_s: float
    server_late_p99_s: float
    streams_most: int
    streams_mean: float
    cut: int
    blocked: int


@dataclass(frozen=True)
class Result:
    """One run of a tool at one level: `measured`, or the `error` that kept it from being."""

    tool: str
    streams: int
    repetition: int
    took_s: float
    measured: Measured | None = None
    error: str | None = None

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


def from_json(line: str) -> Result:
    """The result that `to_json` wrote."""
    document: dict[str, Any] = json.loads(line)
    inner = document.pop("measured")
    measured = None
    if inner is not None:
        reported, true = Figures(**inner.pop("reported")), Figures(**inner.pop("true"))
        measured = Measured(reported=reported, true=true, **inner)
    return Result(measured=measured, **document)


def of(results: Iterable[Result], tool: str, streams: int) -> list[Result]:
    """Those of one tool at one level."""
    return [each for each in results if (each.tool, each.streams) == (tool, streams)]
