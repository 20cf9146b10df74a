"""Throughput against latency of a sweep: its points, and the front among them. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from dashboard import text, units
from dashboard.batching.sweeps import Knobs, Member, Sweep
from dashboard.quantities import LEVEL_TITLES, Quantity
from dashboard.units import Unit
from dashboard.words import t
from measure.pareto import (
    Point,
    Standing,
    failed_share,
    many_failed,
    standings,
)
from measure.store import RunInfo
from measure.table import cut_off
from measure.verdict import Verdict

Throughput = Literal["tokens/s", "requests/s"]
UNITS: dict[Throughput, Unit] = {"tokens/s": "tok/s", "requests/s": "rps"}


@dataclass(frozen=True)
class Axes:
    """What is drawn against what: a throughput, and a quantile of a latency of the summary."""

    throughput: Throughput
    quantity: Quantity
    level: str

    @property
    def unit(self) -> Unit:
        """Of the throughput."""
        return UNITS[self.throughput]

    @property
    def summary_key(self) -> str:
        """Where a run's summary has the throughput."""
        return "output_tokens_per_s" if self.throughput == "tokens/s" else "answered_rps"

    @property
    def throughput_title(self) -> str:
        """What the horizontal axis is."""
        if self.throughput == "tokens/s":
            return t("output tokens/s")
        return t("requests answered a second")

    @property
    def latency_title(self) -> str:
        """What the vertical axis is: `TTFT p99`."""
        return f"{t(self.quantity.title)} {LEVEL_TITLES.get(self.level, self.level)}"


@dataclass(frozen=True)
class Placed:
    """A member of a sweep with its place in the figure; a repeat stands nowhere on the front."""

    member: Member
    point: Point
    standing: Standing | None

    @property
    def summary(self) -> Mapping[str, Any]:
        """Its numbers."""
        return self.member.info.summary or {}

    @property
    def client_valid(self) -> bool:
        """Whether its client was."""
        return _client_valid(self.summary)

    @property
    def failing(self) -> bool:
        """Whether too many of its requests failed for its latency to mean much."""
        return many_failed(self.summary)

    @property
    def cut_off(self) -> bool:
        """Whether too many of its requests were cut off when the load ended."""
        return cut_off(self.summary)

    @property
    def unanswered(self) -> bool:
        """Whether too many of its requests got no answer, in either way."""
        return self.failing or self.cut_off


@dataclass(frozen=True)
class Tradeoff:
    """A sweep under chosen axes.

    `left_out` are the runs that carry no such quantile, `all_failed` those of which no request was
    answered and some failed, `too_old` those made before answers a second were kept.
    """

    sweep: Sweep
    axes: Axes
    placed: tuple[Placed, ...]
    left_out: tuple[str, ...]
    all_failed: tuple[str, ...]
    too_old: tuple[str, ...]

    def words(self, run_id: str) -> str:
        """A run by the values of its knobs and its load, which say more than its name."""
        member = next(one.member for one in self.placed if one.point.name == run_id)
        load = load_words(self.sweep, member.load)
        if not member.knobs:
            return load
        values = ", ".join(setting(value) for _, value in member.knobs)
        return t("{knobs} at {load}", knobs=values, load=load)

    @property
    def front(self) -> list[Placed]:
        """What stands on the front, by rising throughput."""
        best = [one for one in self.placed if one.standing and one.standing.on_front]
        return sorted(best, key=lambda one: (one.point.throughput, one.point.latency_s))


def place(sweep: Sweep, axes: Axes) -> Tradeoff:
    """Every run that can be placed; of those that repeat each other the newest is judged."""
    points, left_out, all_failed, too_old = {}, [], [], []
    for member in sweep.members:
        point, summary = _point(member.info, axes), member.info.summary
        if summary and failed_share(summary) == 1:
            all_failed.append(member.info.run_id)
        elif summary and axes.summary_key not in summary:
            too_old.append(member.info.run_id)
        elif point is None:
            left_out.append(member.info.run_id)
        else:
            points[member.info.run_id] = (member, point)
    newest = {(member.knobs, member.load): point for member, point in points.values()}
    found = {one.point.name: one for one in standings(list(newest.values()))}
    return Tradeoff(
        sweep,
        axes,
        tuple(Placed(member, point, found.get(name)) for name, (member, point) in points.items()),
        tuple(left_out),
        tuple(all_failed),
        tuple(too_old),
    )


def _point(info: RunInfo, axes: Axes) -> Point | None:
    summary: Mapping[str, Any] = info.summary or {}
    described = summary.get(axes.quantity.key) or {}
    latency_s = described.get(axes.level)
    speed = summary.get(axes.summary_key)
    if latency_s is None or not speed:
        return None
    pair = (described.get("ci95") or {}).get(axes.level)
    return Point(
        info.run_id,
        float(speed),
        float(latency_s),
        (float(pair[0]), float(pair[1])) if pair else None,
        _client_valid(summary) and not many_failed(summary) and not cut_off(summary),
    )


def _client_valid(summary: Mapping[str, Any]) -> bool:
    return (summary.get("client") or {}).get("verdict") != Verdict.INVALID


def losses(one: Placed) -> list[str]:
    """Of which requests too many got no answer, in words; empty if of none."""
    found = []
    if one.failing:
        share = units.show(failed_share(one.summary), "ratio")
        found.append(t("{share} of its finished requests failed", share=share))
    if one.cut_off:
        counts = one.summary["requests"]
        share = units.show(counts["cancelled"] / counts["total"], "ratio")
        found.append(t("{share} of its requests were cut off when the load ended", share=share))
    return found


def setting(value: str) -> str:
    """A knob's value, kept as JSON, as people write it."""
    read = json.loads(value)
    if isinstance(read, bool):
        return "true" if read else "false"
    if isinstance(read, list):
        return ", ".join(str(one) for one in read)
    return "–" if read is None else text.plain(read, 40)


def line_name(knobs: Knobs) -> str:
    """The knobs of a line: `max_num_seqs=4`; where no knob varies, that."""
    return ", ".join(f"{name}={setting(value)}" for name, value in knobs) or t("all runs")


def load_words(sweep: Sweep, load: float | None) -> str:
    """A load in words: `8 users`, `4/s`."""
    if load is None:
        return "–"
    if sweep.arrival != "closed":
        return f"{load:g}/s"
    return t("1 user") if load == 1 else t("{n} users", n=f"{load:g}")


def title(sweep: Sweep) -> str:
    """A sweep in a list of choices."""
    loads = [load_words(sweep, one) for one in sweep.loads]
    span = " … ".join(loads[:1] + loads[1:][-1:])
    what = [text.plain(sweep.engine), text.plain(sweep.model, 40), text.plain(sweep.scenario)]
    what += [", ".join(sweep.knobs), f"{sweep.arrival} {span}".strip()]
    words = " · ".join(word for word in what if word)
    return t("{sweep} ({count} runs)", sweep=words, count=len(sweep.members))


def latency_words(point: Point) -> str:
    """The latency with its interval: `75 ms [71–80 ms]`."""
    shown = units.show(point.latency_s, "s")
    return f"{shown} [{units.between(*point.interval_s, 's')}]" if point.interval_s else shown
