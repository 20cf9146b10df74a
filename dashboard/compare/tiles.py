"""The numbers at the top of the Compare page. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from dashboard import run_words, tiles, units
from dashboard.quantities import LEVEL_TITLES
from dashboard.runs import LoadedRun
from dashboard.theme import Line
from dashboard.tiles import Fact, Mark, Mood, Tile
from dashboard.told import told
from dashboard.words import t
from measure.arrival import in_words
from measure.store import Run
from measure.window import is_open_loop

_MOOD: dict[str, Mood] = {"valid": "good", "suspect": "doubtful", "invalid": "bad"}


def render(loaded: Sequence[LoadedRun], lines: Mapping[str, Line]) -> str:
    """One tile for each run."""
    return tiles.render([_tile(one.run, one.run_id, lines[one.run_id]) for one in loaded])


def load_in_words(manifest: Mapping[str, Any]) -> str:
    """`16 users`, `poisson 4 requests/s`: what was asked of the server."""
    return told(in_words(manifest["load"]["arrival"]))


def _tile(run: Run, name: str, line: Line) -> Tile:
    words = [run_words.engine(run.manifest), load_in_words(run.manifest)]
    if run.manifest["name"] != run.run_id:
        words.insert(0, run.manifest["name"])
    return Tile(
        name, " · ".join(str(word) for word in words if word), line, _facts(run), _mark(run)
    )


def _mark(run: Run) -> Mark:
    client = run.summary["client"]
    if run.running:
        return Mark(t("running"), "doubtful", t("This run still goes on."))
    verdict = str(client["verdict"])
    word = run_words.verdict(verdict)
    against = "; ".join(told(reason) for reason in client["reasons"])
    reasons = against or t("nothing speaks against the client's numbers")
    words = t("The client is {verdict}: {reasons}.", verdict=word, reasons=reasons)
    return Mark(word, _MOOD.get(verdict, "bad"), words)


def _facts(run: Run) -> list[Fact]:
    summary = run.summary
    ttft = "ttft_from_schedule_s" if is_open_loop(run.manifest) else "ttft_s"
    # Not the TTFT of a closed loop beside it: the wait before a late sending is in it.
    called = t("TTFT from schedule") if ttft != "ttft_s" else "TTFT"
    brief = t("TTFT sched.") if ttft != "ttft_s" else "TTFT"
    counts = summary["requests"]
    goodput = summary.get("goodput_rps")
    tokens = [Fact(t("Tokens/s"), units.figures_or_dash(summary["output_tokens_per_s"]))]
    if summary["itl_s"]["count"]:
        latencies = [
            _latency(summary, ttft, "p50", brief, called),
            _latency(summary, ttft, "p99", brief, called),
            _latency(summary, "itl_s", "p50", "ITL", "ITL"),
            _latency(summary, "itl_s", "p99", "ITL", "ITL"),
        ]
    else:
        # An answer in one piece has one latency, and nobody counts its tokens.
        tokens = tokens if summary["output_tokens_per_s"] else []
        latencies = [
            _latency(summary, "e2e_s", level, "E2E", "E2E")
            for level in ("p50", "p90", "p99", "p999")
        ]
    return [
        *latencies,
        *tokens,
        Fact(
            t("Answered/s"),
            units.figures_or_dash(summary.get("answered_rps")),
            t(
                "Requests per second whose answer came to its end in the window. Sent: {sent}.",
                sent=units.figures_or_dash(summary["achieved_rps"]),
            ),
        ),
        Fact(
            t("Goodput/s"),
            units.figures_or_dash(goodput),
            t("Requests per second that met every SLO.")
            if goodput is not None
            else t("No SLO given."),
        ),
        Fact(
            t("Failed"),
            f"{counts['failed']:,}",
            t(
                "Of {count} requests. Cut off when the load ended: {cancelled}.",
                count=f"{counts['total']:,}",
                cancelled=f"{counts['cancelled']:,}",
            ),
        ),
    ]


def _latency(summary: Mapping[str, Any], key: str, level: str, short: str, long: str) -> Fact:
    facts = summary[key]
    pair = facts["ci95"].get(level)
    words = f"{long} {LEVEL_TITLES.get(level, level)}"
    if pair:
        words = t(
            "{quantile}, 95% interval {low} to {high}",
            quantile=words,
            low=units.show(pair[0], "s"),
            high=units.show(pair[1], "s"),
        )
    return Fact(f"{short} {LEVEL_TITLES.get(level, level)}", units.show(facts[level], "s"), words)
