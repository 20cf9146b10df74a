"""The axis that samples of several runs share: linear, or logarithmic where it must be. Pure."""

import math
from collections.abc import Sequence
from typing import Any

import plotly.graph_objects as go

from dashboard import units
from dashboard.figures import ticks
from dashboard.samples import Sample
from measure.quantiles import Floats


def settings(which: str, samples: Sequence[Sample], unit: units.Unit) -> dict[str, Any]:
    """An axis's settings: linear, or logarithmic where the runs are too far apart to share one.

    Zero is on it unless all values are so close together that it would hide what differs.
    """
    found: dict[str, Any] = {**ticks(unit)}
    values = [sample.values for sample in samples if sample.values.size]
    if not values:
        return found
    low, high = min(float(v[0]) for v in values), max(float(v[-1]) for v in values)
    if wide(values):
        found |= logarithmic(low, high, unit)
    elif which == "x" and high > low:
        # A line on the frame would be half a line.
        start = 0 if low < 0.4 * high else low - 0.02 * (high - low)
        found["range"] = [start, 1.015 * high]
    elif low < 0.4 * high:
        found["rangemode"] = "tozero"
    return found


def set_on(figure: go.Figure, which: str, samples: Sequence[Sample], unit: units.Unit) -> None:
    """`settings` for a figure that is there already."""
    figure.update_layout({f"{which}axis": settings(which, samples, unit)})


def logarithmic(
    low: float, high: float, unit: units.Unit, digits: Sequence[int] = (1, 2, 5)
) -> dict[str, Any]:
    """A logarithmic axis with ticks at these digits: Plotly drops the unit of its own."""
    decades = range(math.floor(math.log10(low)) if low > 0 else -4, math.ceil(math.log10(high)) + 1)
    ticks = [figure * 10.0**decade for decade in decades for figure in digits]
    words = [units.show(tick, unit) for tick in ticks]
    return {"type": "log", "showgrid": True, "tickvals": ticks, "ticktext": words}


def wide(values: Sequence[Floats]) -> bool:
    """Whether medians or tails spread over more than a decade and a half."""
    lows = [float(v[v.size // 20]) for v in values]
    highs = [float(v[min(int(v.size * 0.99), v.size - 1)]) for v in values]
    low = min((v for v in lows if v > 0), default=0.0)
    return low > 0 and max(highs) / low > 30
