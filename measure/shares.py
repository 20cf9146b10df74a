"""Exact intervals of a share: of requests that met an SLO, of calls that were slow."""

import numpy as np
import numpy.typing as npt

from measure.dependence import inflation

CONFIDENCE = 0.95


def interval(share: float, count: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The interval of Clopper and Pearson ("The use of confidence or fiducial limits", 1934).

    It covers the true share with at least the confidence, also where all or none of a few requests
    did well: 20 good ones of 20 say "at least 83 %".

    Args:
        share: of the requests that did well, 0 to 1.
        count: how many independent requests it is of; needs not be whole
            (`effective_count`). Nothing is known from 0 of them: the interval is 0 to 1.
        confidence: shared evenly by both sides.
    """
    if count <= 0:
        return 0.0, 1.0
    # Imported here: it takes longer than the rest of this room together.
    from scipy.special import betaincinv

    good = share * count
    tail = (1 - confidence) / 2
    low = 0.0 if good <= 0 else float(betaincinv(good, count - good + 1, tail))
    high = 1.0 if good >= count else float(betaincinv(good + 1, count - good, 1 - tail))
    return low, high


def effective_count(did_well: npt.NDArray[np.bool_]) -> float:
    """How many independent requests these are worth, given in the order they were wanted in.

    Requests that are answered together fail together; `measure.dependence` has the rule. Where all
    did alike nothing of it can be seen, and each counts.
    """
    return did_well.size / inflation(did_well.astype(np.float64)) if did_well.size else 0.0
