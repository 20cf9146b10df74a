"""One run under the definitions of other tools: the same records, other words for them.

People hold numbers of different load generators against each other, and the generators mean
different things by TTFT, ITL, throughput or goodput. Here the requests that count in a run are
read by each tool's rules (`measure.rosetta_tools`), and each number that is not ours says why.
It answers what the tool would have *called* this run's events, not what it would have measured:
a client that stamps late has other events.
"""

from dataclasses import dataclass
from math import isclose, isnan
from typing import Any

import numpy as np
import pyarrow as pa

from measure import latency
from measure.quantiles import LEVELS
from measure.rosetta_terms import Tool, finished
from measure.rosetta_tools import TOOLS
from measure.slo import Slo
from measure.store import Run

LATENCIES = ("ttft_s", "itl_s", "tpot_s", "e2e_s")
SHOWN = ("mean", "p50", "p90", "p99")
UNITS = {
    **dict.fromkeys(LATENCIES, "s"),
    "output_tokens_per_s": "tokens/s",
    "requests_per_s": "requests/s",
    "goodput_rps": "requests/s",
    "slo_attainment": "ratio",
    "error_rate": "ratio",
}


@dataclass(frozen=True)
class Reading:
    """One number as a tool would give it, and in what its definition is another than ours.

    `value` is `None` where the tool has no such number. `same` says that it equals ours. `why` is
    empty where the definitions are the same too; otherwise it holds the differences, of which
    this run may show none. `at_most`: the tool would give this or less, because of something the
    records do not hold.
    """

    tool: str
    value: float | None
    same: bool
    why: tuple[str, ...] = ()
    at_most: bool = False

    def __str__(self) -> str:
        """`same`, or the differences; `same here` if this run does not show them."""
        words = "; ".join(self.why)
        if not self.same:
            return words
        return f"same here, though {words}" if words else "same"


@dataclass(frozen=True)
class Line:
    """One number of the run: ours, and every other tool's reading of it.

    `level` is `mean`, p50, p90 or p99, `None` for a rate; `unit` is that of `UNITS`.
    """

    metric: str
    level: str | None
    ours: float | None
    readings: tuple[Reading, ...]

    @property
    def unit(self) -> str:
        """`s`, `tokens/s`, `requests/s` or `ratio`."""
        return UNITS[self.metric]


def definitions(run: Run) -> tuple[Line, ...]:
    """Every number of a run that other tools have a word for, under each tool's definition.

    The requests are those of the run's window, warm-up left out for all tools alike; the seconds
    that a tool divides by are its own.
    """
    counted, summary = run.counted, run.summary
    return (*_latencies(counted, summary), *_rates(counted, summary, run.manifest.get("slo")))


def _latencies(counted: pa.Table, summary: dict[str, Any]) -> list[Line]:
    lines = []
    for metric in LATENCIES:
        readings: dict[str, list[Reading]] = {level: [] for level in SHOWN}
        for tool in TOOLS:
            for level, reading in _latency(tool, metric, counted, summary[metric]).items():
                readings[level].append(reading)
        lines += [
            Line(metric, level, summary[metric][level], tuple(readings[level])) for level in SHOWN
        ]
    return lines


def _latency(
    tool: Tool, metric: str, counted: pa.Table, ours: dict[str, Any]
) -> dict[str, Reading]:
    """One tool's reading of one latency, level by level."""
    meaning = tool.latencies[metric]
    differs: tuple[str, ...] = () if meaning.differs is None else (meaning.differs,)
    if meaning.sample is None:
        return {level: Reading(tool.name, None, False, differs) for level in SHOWN}
    values, weights = meaning.sample(counted)
    found = {}
    for level in SHOWN:
        why = differs
        if not values.size:
            value = None
        elif level == "mean":
            value = float(np.average(values, weights=weights))
        else:
            value = tool.quantile(values, weights, LEVELS[level])
            why += () if tool.quantile_differs is None else (tool.quantile_differs,)
            if ours[level] is None:
                why += (f"it gives a {level} of any number of values",)
        found[level] = _reading(tool, value, ours[level], why, meaning.at_most)
    return found


def _rates(counted: pa.Table, summary: dict[str, Any], limits: dict[str, Any] | None) -> list[Line]:
    counts, asked = summary["requests"], Slo.from_dict(limits)
    ended = counts["ok"] + counts["failed"]
    ours = {
        "output_tokens_per_s": summary["output_tokens_per_s"],
        "requests_per_s": summary.get("answered_rps"),
        "goodput_rps": summary["goodput_rps"],
        "slo_attainment": summary["slo_attainment"],
        "error_rate": counts["failed"] / ended if ended else None,
    }
    read = [_rates_of(tool, counted, asked, ours) for tool in TOOLS]
    return [
        Line(metric, None, value, tuple(one[metric] for one in read))
        for metric, value in ours.items()
    ]


def _rates_of(
    tool: Tool, counted: pa.Table, asked: Slo, ours: dict[str, float | None]
) -> dict[str, Reading]:
    ok = int(latency.is_ok(counted).sum())
    ended = finished(counted)
    span_s = tool.span_s(counted)
    good = tool.good(counted, asked)

    def rate(count: float | None) -> float | None:
        return count / span_s if count is not None and span_s > 0 else None

    share = good[0] / good[1] if tool.attainment and good and good[1] else None
    values = {
        "output_tokens_per_s": (
            rate(tool.tokens(counted)),
            (tool.tokens_differ, tool.span_differs),
        ),
        "requests_per_s": (
            rate(ok),
            (
                "it counts all that ended well, the drain's too, ours those that did in the window",
                tool.span_differs,
            ),
        ),
        "goodput_rps": (rate(good[0] if good else None), (tool.good_differs, tool.span_differs)),
        "slo_attainment": (
            share,
            (tool.good_differs if tool.attainment else "it reports no share of them",),
        ),
        "error_rate": (
            tool.error_rate(ended - ok, ended) if ended else None,
            () if tool.error_differs is None else (tool.error_differs,),
        ),
    }
    return {
        metric: _reading(tool, value, ours[metric], why) for metric, (value, why) in values.items()
    }


def _reading(
    tool: Tool,
    value: float | None,
    ours: float | None,
    why: tuple[str, ...],
    at_most: bool = False,
) -> Reading:
    value = None if value is None or isnan(value) else value
    same = value is not None and ours is not None and isclose(value, ours, rel_tol=1e-9)
    return Reading(tool.name, value, same, why, at_most)
