"""Where the start of a run ends and its steady state begins, found in the run itself.

The rule is MSER-5: latencies in the order in which they were wanted, averaged five by five, are cut
where the estimated variance of what remains' mean is least (White, "An Effective Truncation
Heuristic for Bias Reduction in Simulation Output", *Simulation* 69(6), 1997; the batches of five
are Spratt's, see White, Cobb and Spratt, "A Comparison of Five Steady-State Truncation Heuristics
for Simulation", WSC 2000). A cut in the later half says, by the same papers, that the run is too
short to have a steady state.

Two things are ours. The series is the logarithm of latency: latencies have heavy tails, and on
them plain MSER-5 takes one stall for a change of state. And what remains must not drift: its two
halves are compared (as Geweke compares the ends of a chain, "Evaluating the Accuracy of
Sampling-Based Approaches", 1992), for a queue that grows slowly under much noise passes MSER.
"""

from dataclasses import dataclass
from math import log, sqrt

import numpy as np

from measure.dependence import inflation
from measure.quantiles import Floats

BATCH = 5
# In simulations (independent log-normal latencies) one steady run of 100 requests in eight is
# cut in its later half by chance, of 300 one in fifty.
MIN_REQUESTS = 200
# The last batches have no spread worth the name, so that the least variance is always there.
LAST_BATCHES = 5
# Halves that differ by less than a tenth are steady enough for any use of the numbers, and by
# three standard errors chance makes them differ once in 370 times.
DRIFT_RATIO = 1.1
DRIFT_ERRORS = 3.0


@dataclass(frozen=True)
class Steady:
    """How many of the values come before the steady state; `None`, and why, if none was found."""

    cut: int | None
    problem: str | None = None


def steady_state(latency_s: Floats) -> Steady:
    """Find the steady state in the latencies of a run.

    Args:
        latency_s: above zero, without NaN, in the order in which the requests were wanted.
    """
    count = int(latency_s.size)
    if count < MIN_REQUESTS:
        return Steady(None, f"{count} answers are too few, it takes {MIN_REQUESTS}")
    series = np.log(latency_s)
    cut = mser(series[: count // BATCH * BATCH].reshape(-1, BATCH).mean(axis=1)) * BATCH
    if cut > count / 2:
        return Steady(None, "latency still changed in the later half of the run")
    ratio, errors = _halves(series[cut:])
    if ratio > DRIFT_RATIO and errors > DRIFT_ERRORS:
        return Steady(
            None, f"latency differs {ratio:.2f}-fold between the halves of what would be left"
        )
    return Steady(cut)


def mser(means: Floats) -> int:
    """How many batch means to leave out, by the marginal standard error rule (White, 1997).

    The d that makes Σ(Yⱼ − Ȳ)² / (m − d)² least over the m − d means from d on.
    """
    left = np.arange(means.size, 0, -1)
    centred = means - means.mean()
    sums = np.cumsum(centred[::-1])[::-1]
    squares = np.cumsum(centred[::-1] ** 2)[::-1]
    error = (squares - sums**2 / left) / left.astype(np.float64) ** 2
    return int(np.argmin(error[: max(1, means.size - LAST_BATCHES)]))


def _halves(series: Floats) -> tuple[float, float]:
    """How far apart the halves' geometric means are: as a ratio, and in standard errors."""
    halves = np.array_split(series, 2)
    variance = sum(float(half.var()) / half.size * inflation(half) for half in halves)
    apart = abs(float(halves[0].mean() - halves[1].mean()))
    if variance <= 0:
        return float(np.exp(min(apart, log(1e9)))), 0.0 if apart == 0 else np.inf
    return float(np.exp(min(apart, log(1e9)))), apart / sqrt(variance)
