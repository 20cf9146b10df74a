"""The tables of throughput against latency. Pure."""

import math
from collections.abc import Sequence

import pandas as pd

from dashboard import text, units
from dashboard.batching.tradeoff import (
    Placed,
    Tradeoff,
    latency_words,
    load_words,
    losses,
    setting,
)
from dashboard.words import t
from measure.pareto import MOST_FAILED, Standing, failed_share
from measure.table import MOST_CUT_OFF


def front_table(tradeoff: Tradeoff) -> pd.DataFrame:
    """The runs on the front with their settings, and which others their latency may be alike."""
    return pd.DataFrame([_row(tradeoff, one) for one in tradeoff.front])


def other_table(tradeoff: Tradeoff) -> pd.DataFrame:
    """The runs that are not on it, and why."""
    others = [one for one in tradeoff.placed if not (one.standing and one.standing.on_front)]
    return pd.DataFrame([_row(tradeoff, one) for one in others])


def _row(tradeoff: Tradeoff, one: Placed) -> dict[str, str]:
    point = one.point
    return {
        **{name: setting(value) for name, value in one.member.knobs},
        t("load"): load_words(tradeoff.sweep, one.member.load),
        tradeoff.axes.throughput_title: units.show(
            point.throughput, tradeoff.axes.unit
        ).removesuffix(" tok/s"),
        tradeoff.axes.latency_title: latency_words(point),
        t("failed"): _failed(one),
        t("standing"): standing_words(tradeoff, one),
        t("run"): text.plain(point.name),
    }


def _failed(one: Placed) -> str:
    """How many requests, and which share of those that finished: `566 (34.5 %)`."""
    count = one.summary["requests"]["failed"]
    return f"{count:,} ({units.show(failed_share(one.summary), 'ratio')})" if count else "0"


def standing_words(tradeoff: Tradeoff, one: Placed) -> str:
    """How a run stands, in words."""
    standing = one.standing
    if not one.client_valid:
        return t("client invalid: never on the front")
    if standing is None:
        return t("an earlier run of the same")
    if one.unanswered:
        return t("never on the front: {why}", why=", ".join(losses(one)))
    if standing.on_front:
        return _on_front(tradeoff, standing)
    if standing.surely_dominated_by:
        return t("beaten by {runs}", runs=_few(tradeoff, standing.surely_dominated_by))
    alike = [name for name in standing.dominated_by if name in standing.not_told_apart]
    if alike:
        return t("not told apart from {runs}", runs=_few(tradeoff, alike))
    return t(
        "behind {runs}; without an interval of both, whether by chance cannot be told",
        runs=_few(tradeoff, standing.dominated_by),
    )


def _on_front(tradeoff: Tradeoff, standing: Standing) -> str:
    if standing.not_told_apart:
        return t(
            "on the front; not told apart from {runs}", runs=_few(tradeoff, standing.not_told_apart)
        )
    if standing.point.interval_s is None:
        return t("on the front; its sample is too small for an interval")
    return t("on the front")


def remarks(tradeoff: Tradeoff) -> list[str]:
    """How many runs are kept off the front, how many are not drawn, and why."""
    count = sum(one.failing for one in tradeoff.placed)
    most = units.show(MOST_FAILED, "ratio")
    found = []
    if count == 1:
        found.append(
            t(
                "A cross, kept off the front: 1 run, of whose finished requests more than {most} "
                "failed.",
                most=most,
            )
        )
    elif count:
        found.append(
            t(
                "Crosses, kept off the front: {count} runs, of whose finished requests more than "
                "{most} failed.",
                count=count,
                most=most,
            )
        )
    count = sum(one.cut_off for one in tradeoff.placed)
    most = units.show(MOST_CUT_OFF, "ratio")
    if count == 1:
        found.append(
            t(
                "A cross, kept off the front: 1 run, of whose requests more than {most} were cut "
                "off when the load ended. What they would have taken is in no latency.",
                most=most,
            )
        )
    elif count:
        found.append(
            t(
                "Crosses, kept off the front: {count} runs, of whose requests more than {most} "
                "were cut off when the load ended. What they would have taken is in no latency.",
                count=count,
                most=most,
            )
        )
    return [*found, *_left_out(tradeoff)]


def _left_out(tradeoff: Tradeoff) -> list[str]:
    found = []
    count, latency = len(tradeoff.all_failed), tradeoff.axes.latency_title
    if count == 1:
        found.append(t("1 run is left out: every request failed."))
    elif count:
        found.append(t("{count} runs are left out: every request failed.", count=count))
    if tradeoff.too_old:
        found.append(
            t(
                "Left out, for they were made before the lab kept answers a second: {names}.",
                names=", ".join(text.plain(name) for name in tradeoff.too_old),
            )
        )
    count = len(tradeoff.left_out)
    if count == 1:
        found.append(
            t("1 run is left out: its sample is too small for {latency}.", latency=latency)
        )
    elif count:
        found.append(
            t(
                "{count} runs are left out: their samples are too small for {latency}.",
                count=count,
                latency=latency,
            )
        )
    return found


def _few(tradeoff: Tradeoff, names: Sequence[str]) -> str:
    shown = "; ".join(tradeoff.words(name) for name in names[:2])
    if len(names) <= 2:
        return shown
    return t("{runs} and {count} more", runs=shown, count=len(names) - 2)


def numbers(tradeoff: Tradeoff) -> pd.DataFrame:
    """What the figure draws."""
    latency = f"{tradeoff.axes.quantity.key.removesuffix('_s')} {tradeoff.axes.level}"
    return pd.DataFrame(
        [
            {
                "run": one.point.name,
                **{name: setting(value) for name, value in one.member.knobs},
                "load": one.member.load,
                f"throughput ({tradeoff.axes.throughput})": one.point.throughput,
                f"{latency} (seconds)": one.point.latency_s,
                "low (seconds)": one.point.interval_s[0] if one.point.interval_s else math.nan,
                "high (seconds)": one.point.interval_s[1] if one.point.interval_s else math.nan,
                "failed": one.summary["requests"]["failed"],
                "cut off": one.summary["requests"]["cancelled"],
                "client valid": one.client_valid,
                "on the front": bool(one.standing and one.standing.on_front),
            }
            for one in tradeoff.placed
        ]
    )
