"""How many independent values a sample is worth, where neighbours resemble each other.

Requests that are answered together wait together. In a closed loop of equal answers the users of
a batching engine fall into step: eight requests go out within milliseconds, share every forward
pass and come back with nearly one latency. Hundreds of requests then say no more than the tens of
such convoys they made, and an interval that takes them one by one is far too narrow.

For the quantile x of a sample all that counts is the series I(value <= x) in the order in which
the requests were wanted: the variance of its mean, over what it would be if the values were
independent, is the design effect (Kish, *Survey Sampling*, 1965; for quantiles, Woodruff 1952).
The sample is worth its count divided by it.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

MIN_GROUPS = 30
MAX_LAGS = 500
"""Dependence of requests further apart than this is not seen."""
_PIECE = 1 << 15
_NOTHING = 1e-12


def effective_count(
    values: npt.NDArray[np.float64],
    value: float,
    group: npt.NDArray[np.integer[Any]] | None = None,
) -> int | None:
    """How many independent values the sample is worth at one of its quantiles.

    Args:
        values: the sample in the order in which its requests were wanted, without NaN.
        value: the quantile.
        group: whose each value is, where one request has several (its chunk gaps), numbered in
            that order. What counts is then the variance of the share at or below the quantile
            over whole requests (linearised, as for any ratio estimate), times what the requests
            have in common with their neighbours.

    Returns:
        From 1 to the count of the values; the count if all values are equal, since the interval
        is then that value whatever its ranks. `None` with fewer than `MIN_GROUPS` groups, whose
        spread says too little.
    """
    count = int(values.size)
    sizes = None if group is None else np.bincount(group)
    if sizes is not None and np.count_nonzero(sizes) < MIN_GROUPS:
        return None
    below = values <= value
    if below.all():
        # Several values share the maximum. What lies under it still tells how they cluster.
        below = values < value
    share = float(below.mean())
    if not 0 < share < 1:
        return count
    if group is None or sizes is None:
        effect = inflation(below.astype(np.float64))
    else:
        residual = (np.bincount(group, weights=below) - share * sizes)[sizes > 0]
        owners = residual.size
        spread = float(residual @ residual) / (share * (1 - share) * count)
        effect = spread * owners / (owners - 1) * inflation(residual)
    return max(1, int(count / max(1.0, effect)))


def inflation(series: npt.NDArray[np.float64]) -> float:
    """The variance of a series' mean over that of as many independent values; never below 1.

    1 + 2·Σρₖ, the autocorrelations summed in adjacent pairs until a pair is not positive: the
    initial positive sequence of Geyer, "Practical Markov Chain Monte Carlo" (1992), at most
    `MAX_LAGS` lags of it. A series without autocorrelation costs one pair. The autocovariances
    are taken about the series' own mean, which hides the mean's own variance from each of them;
    the division puts it back.
    """
    count = int(series.size)
    centred = series - series.mean()
    total = float(centred @ centred)
    if total <= 0:
        return 1.0
    correlation = autocovariances(centred, min(count, MAX_LAGS)) / total
    pairs, lags = 0.0, 0
    while lags + 1 < correlation.size:
        pair = float(correlation[lags] + correlation[lags + 1])
        # Below what a transform's rounding can make of nothing, there is no correlation.
        if pair <= _NOTHING:
            break
        pairs += pair
        lags += 2
    seen = max(1 - (2 * lags - 1) / count, 0.5)
    return max(1.0, (2 * pairs - 1) / seen)


def autocovariances(centred: npt.NDArray[np.float64], lags: int) -> npt.NDArray[np.float64]:
    """Σ xᵢ·xᵢ₊ₖ for k = 0 … lags − 1.

    By Fourier transforms of pieces whose spectra are added up: a million values take tens of
    milliseconds and no memory to speak of, however many lags.
    """
    piece = _PIECE
    while piece // 2 >= max(centred.size + lags, 2):
        piece //= 2
    step = piece - lags
    spectrum = np.zeros(piece // 2 + 1, dtype=np.complex128)
    for start in range(0, centred.size, step):
        here = np.fft.rfft(centred[start : start + step], piece)
        last = start + step >= centred.size
        with_next = here if last else np.fft.rfft(centred[start : start + piece], piece)
        spectrum += np.conj(here) * with_next
    return np.asarray(np.fft.irfft(spectrum, piece)[:lags], dtype=np.float64)
