"""Numbers as people read them: three figures, and a unit that fits."""

import math
from typing import Literal

Unit = Literal["s", "rps", "tok/s", "ratio", "bytes", "count", "cores", "tokens", "W", "°C", "Hz"]

TITLES: dict[Unit, str] = {
    "s": "seconds",
    "rps": "requests/s",
    "tok/s": "tokens/s",
    "ratio": "share",
    "bytes": "bytes",
    "count": "count",
    "cores": "CPU cores",
    "tokens": "tokens",
    "W": "watts",
    "°C": "degrees Celsius",
    "Hz": "hertz",
}

TICKS: dict[Unit, dict[str, str]] = {
    "s": {"ticksuffix": "s", "tickformat": "~s"},
    "ratio": {"tickformat": ".2~%"},
    "bytes": {"tickformat": "~s", "ticksuffix": "B"},
    "W": {"tickformat": "~g", "ticksuffix": " W"},
    "°C": {"tickformat": "~g", "ticksuffix": " °C"},
    "Hz": {"tickformat": "~s", "ticksuffix": "Hz"},
}
"""Plotly's axis settings for a unit; SI prefixes turn 0.02 s into 20 ms."""

PLAIN_TICKS = {"tickformat": ",~g"}
"""The axis settings of units without a symbol."""

_NOTHING = "–"


def show(value: float | None, unit: Unit) -> str:
    """The value with its unit: `75.2 ms`, `3.41 GB`, `93 %`; a dash where there is none."""
    if value is None or math.isnan(value):
        return _NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if unit == "s":
        return seconds(value)
    if unit == "bytes":
        return _prefixed(value, "B", ("", "k", "M", "G", "T"))
    if unit == "Hz":
        return _prefixed(value, "Hz", ("", "k", "M", "G", "T"))
    if unit == "ratio":
        return f"{value * 100:.3g} %"
    suffix = {"rps": "/s", "tok/s": " tok/s", "W": " W", "°C": " °C"}.get(unit, "")
    return f"{figures(value)}{suffix}"


def seconds(value: float) -> str:
    """A length of time: µs, ms, s; minutes from 10 min on."""
    size = abs(value)
    if size == 0:
        return "0 s"
    if size < 0.9995e-3:
        return f"{figures(value * 1e6)} µs"
    if size < 0.9995:
        return f"{figures(value * 1e3)} ms"
    if size < 600:
        return f"{figures(value)} s"
    return f"{figures(value / 60)} min" if size >= 1e6 else f"{value / 60:.0f} min"


def figures(value: float) -> str:
    """Three significant figures, thousands set apart; in exponents from 10^15 on only.

    A dash for what is no number, as `show` has it.
    """
    if not math.isfinite(value):
        return show(value, "count")
    if value == 0:
        return "0"
    if abs(value) >= 1e15:
        return f"{value:.3g}"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    if abs(rounded) >= 1000:
        return f"{rounded:,.0f}"
    text = f"{rounded:.{min(max(digits, 0), 6)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _prefixed(value: float, unit: str, prefixes: tuple[str, ...]) -> str:
    for prefix in prefixes[:-1]:
        if abs(value) < 999.5:
            return f"{figures(value)} {prefix}{unit}"
        value /= 1000
    return f"{figures(value)} {prefixes[-1]}{unit}"


def between(lower: float, upper: float, unit: Unit) -> str:
    """Bounds of a quantile: `20–40 ms`, `≤ 10 ms` (in the first bucket), `> 80 s` (the last)."""
    if math.isinf(upper):
        return f"> {show(lower, unit)}"
    if lower <= 0:
        return f"≤ {show(upper, unit)}"
    if lower == upper:
        return show(upper, unit)
    low, high = show(lower, unit), show(upper, unit)
    same = low.rpartition(" ")[2] == high.rpartition(" ")[2]
    return f"{low.rpartition(' ')[0] if same else low}–{high}"


def at_most(lower: float, upper: float, unit: Unit) -> str:
    """Bounds where there is no room for both: `≤ 40 ms`, `> 80 s`."""
    if lower == upper or math.isinf(upper):
        return between(lower, upper, unit)
    return f"≤ {show(upper, unit)}"


def figures_or_dash(value: float | None) -> str:
    """The figures alone, a dash where there is no value."""
    return _NOTHING if value is None or not math.isfinite(value) else figures(value)
