"""Bounds of histograms that the lab chooses itself. Standard library only: engines import it."""

_MANTISSAS = (1.0, 1.3, 1.6, 2.0, 2.5, 3.2, 4.0, 5.0, 6.3, 8.0)


def ten_a_decade(first: float, last: float) -> tuple[float, ...]:
    """Bounds from `first` to `last` that grow by about a quarter: the error of a quantile.

    Two digits each, so that 0.2 and 0.5 s, which objectives like, are among them.
    """
    every = (float(f"{m}e{exponent}") for exponent in range(-6, 7) for m in _MANTISSAS)
    return tuple(bound for bound in every if first <= bound <= last)
