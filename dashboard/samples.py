"""One run's values of one metric, as figures and tables of several runs take them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from dashboard import text
from dashboard.theme import Line
from measure.quantiles import Floats

POINTS = 1_000


@dataclass(frozen=True)
class Sample:
    """One run's values of one metric: sorted, without NaN; `name` is how the page calls it.

    `effective` is how many independent values they are worth, by level (`measure.dependence`);
    where it is empty there are no intervals. `short` is what a legend calls it.
    """

    name: str
    line: Line
    values: Floats
    effective: Mapping[float, int]
    short: str = ""

    @property
    def in_legend(self) -> str:
        """Its name in a figure's legend, which takes no markup."""
        return text.figure(self.short or self.name)

    @property
    def on_hover(self) -> str:
        """Its name beside a point's numbers, as the end of a template; never one itself."""
        return f"<extra>{text.figure(self.name).replace('%{', '% {')}</extra>"


def decimate(count: int, points: int = POINTS) -> np.ndarray:
    """At most `points` ranks (from 0) of a sorted sample of `count`, both ends kept.

    Half of them evenly over the sample, half evenly over the logarithm of what remains above, so
    that the tail loses nothing that a reader could see.
    """
    if count <= points:
        return np.arange(count)
    half = points // 2
    even = np.linspace(0, count - 1, half)
    tail = count - np.geomspace(1, count, points - half)
    return np.unique(np.concatenate([even, tail]).round().astype(np.int64).clip(0, count - 1))
