"""The forecast beside what happened. Pure."""

from collections.abc import Collection, Sequence

import pandas as pd

from dashboard import text, units
from dashboard.memory import plan
from dashboard.memory.observed import PSS, Observed
from dashboard.words import t

_WHATS = (plan.WEIGHTS, plan.KV_CACHE, plan.OVERHEAD, plan.ACTIVATIONS)


def whose(one: Observed) -> str:
    """Which memory was measured, in words."""
    if one.where == "gpu":
        return t("GPU memory")
    return t("process memory (PSS)") if one.kind == PSS else t("process memory (RSS)")


def beside(several: Sequence[Observed]) -> pd.DataFrame:
    """A row an instance or run: its forecast, its peak, how far they are apart, and the parts."""
    return pd.DataFrame([_row(one) for one in several])


def _row(one: Observed) -> dict[str, str]:
    row = {"": text.plain(one.label, 80), t("of what"): whose(one)}
    start, full = one.plan.total(one.where) if one.plan else (0, 0)
    row[t("forecast at the start")] = _bytes(start)
    row[t("forecast when full")] = _bytes(full)
    row[t("measured peak")] = units.show(one.peak_bytes, "bytes")
    row[t("peak ÷ start")] = ratio(one.peak_bytes, start)
    row[t("peak ÷ full")] = ratio(one.peak_bytes, full)
    row[t("KV cache in use, at most")] = units.show(one.kv_peak_bytes, "bytes")
    for what in _WHATS:
        size = one.plan.part(what, one.where) if one.plan else None
        shown = units.show(size, "bytes") if size else "–"
        if size and one.plan and one.plan.comes_later(what):
            shown = t("up to {size}", size=shown)
        row[t("forecast: {part}", part=t(what))] = shown
    return row


def without_forecast(several: Sequence[Observed], ended: Collection[str]) -> list[str]:
    """Why those that have no forecast have none; of those in `ended` the lab keeps no state."""
    without = [one.name for one in several if one.plan is None]
    gone = ", ".join(text.plain(name, 80) for name in without if name in ended)
    never = ", ".join(text.plain(name, 80) for name in without if name not in ended)
    found = []
    if gone:
        found.append(
            t(
                "No longer running: {names}. Forecasts are kept with runs: choose Runs above.",
                names=gone,
            )
        )
    if never:
        found.append(
            t(
                "Without a forecast: {names}. Older than forecasts, or the engine states none.",
                names=never,
            )
        )
    return found


def _bytes(size: int) -> str:
    return units.show(size, "bytes") if size else "–"


def ratio(measured: float, expected: float) -> str:
    """How far the measured is from the expected: `× 1.04`."""
    if not expected or not measured > 0:
        return "–"
    return f"× {units.figures(measured / expected)}"


def basis(one: Observed) -> list[str]:
    """What each part of a forecast comes from."""
    if one.plan is None:
        return []
    found = [
        t("{part}: {how}", part=t(part.what), how=text.plain(part.how))
        for part in one.plan.parts
        if part.how
    ]
    unknown = one.plan.unknown(one.where)
    if unknown:
        parts = ", ".join(t(what) for what in unknown)
        found.append(t("Not known, and in no sum: {parts}.", parts=parts))
    return found
