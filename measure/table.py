"""What is shown of a run's summary, wherever it is shown: which rows, in which order, how named."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from measure.quantiles import LEVELS

TITLES = {
    "ttft_s": "TTFT",
    "ttft_from_schedule_s": "TTFT from schedule",
    "itl_s": "ITL",
    "chunk_gap_s": "Chunk gap",
    "tpot_s": "TPOT",
    "e2e_s": "E2E",
    "schedule_delay_s": "Schedule delay",
}
OPEN_LOOP_ONLY = ("ttft_from_schedule_s", "schedule_delay_s")
"""In a closed loop the schedule is the users' own pace: these would only repeat the others."""

MOST_CUT_OFF = 0.05
"""The share of requests cut off at the end of the load up to which nobody need be told."""

COLUMNS = {
    "mean": "mean",
    "p50": "p50",
    "p90": "p90",
    "p95": "p95",
    "p99": "p99",
    "p999": "p99.9",
    "max": "max",
}
"""Keys of a quantity in the summary, and what people call them."""


@dataclass(frozen=True)
class LatencyRow:
    """One latency of a run: of how many values, and `COLUMNS` in seconds (`None`: not carried)."""

    key: str
    title: str
    count: int
    values_s: dict[str, float | None]


@dataclass(frozen=True)
class Rate:
    """One rate of a run."""

    key: str
    title: str
    value: float
    unit: str


def latency_rows(summary: Mapping[str, Any]) -> list[LatencyRow]:
    """The latencies of a run that say something of their own.

    Left out are those without a value, those that only a schedule gives a meaning, and TTFT where
    every answer came in one piece: it is then its E2E. (From the schedule it is not.)
    """
    hidden = set() if summary["offered_rps"] is not None else set(OPEN_LOOP_ONLY)
    titles = titles_of(summary)
    if in_one_piece(summary):
        hidden.add("ttft_s")
    return [
        LatencyRow(key, title, facts["count"], {name: facts[name] for name in COLUMNS})
        for key, title in titles.items()
        if (facts := summary[key])["count"] and key not in hidden
    ]


def in_one_piece(*summaries: Mapping[str, Any]) -> bool:
    """Whether all answers of all runs came in one piece: their TTFT is then their E2E."""
    return not any(summary["chunk_gap_s"]["count"] for summary in summaries)


def cut_off(summary: Mapping[str, Any]) -> bool:
    """Whether so many requests were cut off when the load ended that the others say too little.

    What they would have taken is in no latency and in no attainment, and it is the slow ones that
    are still under way: more than `MOST_CUT_OFF` of all make a run look better than it was.
    """
    counts = summary["requests"]
    return bool(counts["cancelled"] > MOST_CUT_OFF * counts["total"])


def titles_of(*summaries: Mapping[str, Any]) -> Mapping[str, str]:
    """What the latencies of these runs are called: of answers in one piece it is not TTFT."""
    if in_one_piece(*summaries):
        return {**TITLES, "ttft_from_schedule_s": "E2E from schedule"}
    return TITLES


def rates(summary: Mapping[str, Any]) -> list[Rate]:
    """The rates of a run that are known; tokens only where there were any."""
    words = {
        "offered_rps": ("offered", "requests/s"),
        "achieved_rps": ("sent", "requests/s"),
        "answered_rps": ("answered", "requests/s"),
        "goodput_rps": ("goodput", "requests/s"),
        "output_tokens_per_s": ("output", "tokens/s"),
    }
    return [
        Rate(key, title, summary[key], unit)
        for key, (title, unit) in words.items()
        if summary.get(key) is not None and (summary[key] or unit != "tokens/s")
    ]


def outcome(summary: Mapping[str, Any]) -> str:
    """How the requests ended: `98 answered, 2 failed, 0 cancelled`."""
    counts = summary["requests"]
    return f"{counts['ok']} answered, {counts['failed']} failed, {counts['cancelled']} cancelled"


def too_few(summary: Mapping[str, Any]) -> str | None:
    """Which quantiles the run has too few answers for, in words; `None` if it has them all.

    It is no fault of the run, so it stands in no verdict: who asks for the quantile reads here why
    there is none.
    """
    count = summary["e2e_s"]["count"]
    missing = {COLUMNS[name]: _needed(level) for name, level in LEVELS.items()}
    words = [f"{name} takes {need:,}" for name, need in missing.items() if 0 < count < need]
    return (
        f"{count:,} answers are too few for some quantiles: {', '.join(words)}" if words else None
    )


def _needed(level: float) -> int:
    """How many values let one lie beyond the quantile (`measure.quantiles.carried`)."""
    return 1 if level <= 0.5 else round(1 / (1 - level))


def warmup(summary: Mapping[str, Any]) -> str | None:
    """What was left out before the window, in words.

    `None` if nothing was, or it is not known; what a rule looked for in vain is in the verdict.
    """
    cut = summary.get("window")
    if not cut:
        return None
    looked_for = cut["warmup"]["rule"] == "steady"
    if not cut["start_s"]:
        steady = looked_for and cut["problem"] is None
        return "no warm-up left out: the latency is steady from the start" if steady else None
    found = " (found: the latency is steady from there)" if looked_for else ""
    return f"warm-up left out: {cut['start_s']:.1f} s, {cut['requests_before']:,} requests{found}"
