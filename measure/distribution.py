"""All values of one quantity of a run, and how many independent ones they are worth."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from measure.quantiles import LEVELS, Floats, effective_counts, stretched_ranks
from measure.store import Run
from measure.summary import sample
from measure.window import is_open_loop


@dataclass(frozen=True)
class Distribution:
    """Sorted values without NaN; `effective` is what they are worth at each level, if known."""

    values: Floats
    effective: Mapping[float, int]

    def interval(self, level: float, confidence: float) -> tuple[float, float] | None:
        """The interval of one of `LEVELS`; `None` if the sample carries none."""
        worth = self.effective.get(level)
        pair = stretched_ranks(self.values.size, worth, level, confidence) if worth else None
        return (float(self.values[pair[0] - 1]), float(self.values[pair[1] - 1])) if pair else None


def distribution(values: Floats, group: npt.NDArray[np.integer[Any]] | None = None) -> Distribution:
    """Of values in the order in which their requests were wanted; NaN is left out.

    `group` is that of `measure.dependence.effective_count`.
    """
    in_order = values[~np.isnan(values)]
    worth = effective_counts(in_order, group)
    return Distribution(
        np.sort(in_order), {LEVELS[name]: count for name, count in worth.items() if count}
    )


def of_run(run: Run, metric: str) -> Distribution:
    """One quantity of the requests of a run that count."""
    return distribution(*sample(metric, run.counted, open_loop=is_open_loop(run.manifest)))
