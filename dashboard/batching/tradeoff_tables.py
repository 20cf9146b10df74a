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
    setting,
)
from dashboard.words import t


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
        t("standing"): standing_words(tradeoff, one),
        t("run"): text.plain(point.name),
    }


def standing_words(tradeoff: Tradeoff, one: Placed) -> str:
    """How a run stands, in words."""
    standing = one.standing
    if not one.valid:
        return t("client invalid: never on the front")
    if standing is None:
        return t("an earlier run of the same")
    if standing.on_front:
        if not standing.not_told_apart:
            return t("on the front")
        return t(
            "on the front; not told apart from {runs}", runs=_few(tradeoff, standing.not_told_apart)
        )
    if standing.surely_dominated:
        apart = [name for name in standing.dominated_by if name not in standing.not_told_apart]
        return t("beaten by {runs}", runs=_few(tradeoff, apart))
    return t("not told apart from {runs}", runs=_few(tradeoff, standing.dominated_by))


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
                "client valid": one.valid,
                "on the front": bool(one.standing and one.standing.on_front),
            }
            for one in tradeoff.placed
        ]
    )
