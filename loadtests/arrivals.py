"""Arrival processes of an open loop, drawn ahead from a seed. Pure."""

import random
from collections.abc import Callable, Iterator


def constant(rate_rps: float, seed: int) -> Iterator[float]:
    """Arrivals `1/rate_rps` seconds apart, the first at 0. The seed changes nothing."""
    number = 0
    while True:
        # From the count, not by adding up: no rounding error gathers over a long run.
        yield number / rate_rps
        number += 1


def poisson(rate_rps: float, seed: int) -> Iterator[float]:
    """A Poisson process: independent exponential gaps with mean `1/rate_rps` seconds."""
    gaps = random.Random(f"arrivals:{seed}")
    at_s = 0.0
    while True:
        at_s += gaps.expovariate(rate_rps)
        yield at_s


ARRIVALS: dict[str, Callable[[float, int], Iterator[float]]] = {
    "constant": constant,
    "poisson": poisson,
}
