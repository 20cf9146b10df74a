"""Arrival processes of an open loop, drawn ahead from a seed. Pure.

Every process yields when requests shall start, in seconds after the load's begin, in rising
order. The drawn ones rise strictly; a trace may have several arrivals at one instant.

Rates that change with time are Poisson processes too: with Λ(t) the number of arrivals expected
by time t, the n-th arrival is at Λ⁻¹(E₁ + … + Eₙ), the Eᵢ being independent exponential numbers
of mean 1 (Çinlar, Introduction to Stochastic Processes, 1975, section 4.7; Lewis and Shedler,
Naval Research Logistics Quarterly 26, 1979, call it the time-scale transformation).
"""

import math
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_STEPS_OF_INVERSION = 100


def constant(rate_rps: float) -> Iterator[float]:
    """Arrivals `1/rate_rps` seconds apart, the first at 0."""
    number = 0
    while True:
        # From the count, not by adding up: no rounding error gathers over a long run.
        yield number / rate_rps
        number += 1


def poisson(rate_rps: float, seed: int) -> Iterator[float]:
    """A Poisson process: independent exponential gaps with mean `1/rate_rps` seconds."""
    gaps = _random(seed)
    at_s = 0.0
    while True:
        at_s = _later(at_s + gaps.expovariate(rate_rps), at_s)
        yield at_s


def gamma(rate_rps: float, burstiness: float, seed: int) -> Iterator[float]:
    """A renewal process with gamma gaps of mean `1/rate_rps` seconds.

    `burstiness` is the gamma distribution's shape, as in `vllm bench serve --burstiness`: 1 is a
    Poisson process, below 1 is burstier, above 1 more regular. The gaps' coefficient of variation
    is `1/sqrt(burstiness)`.
    """
    gaps = _random(seed)
    scale_s = 1 / (rate_rps * burstiness)
    at_s = 0.0
    while True:
        at_s = _later(at_s + gaps.gammavariate(burstiness, scale_s), at_s)
        yield at_s


@dataclass(frozen=True)
class Piece:
    """A stretch of time in which the rate goes in a straight line, in requests a second."""

    length_s: float
    from_rps: float
    to_rps: float

    @property
    def arrivals(self) -> float:
        """How many are expected in it."""
        mean_rps = (self.from_rps + self.to_rps) / 2
        return mean_rps * self.length_s if mean_rps else 0.0

    def when(self, arrivals: float) -> float:
        """Seconds after the piece's begin by which so many are expected."""
        if arrivals <= 0:
            return 0.0
        slope = (self.to_rps - self.from_rps) / self.length_s
        root = math.sqrt(max(0.0, self.from_rps**2 + 2 * arrivals * slope))
        # The usual formula with its numerator made rational: exact also where the slope is 0.
        return min(self.length_s, 2 * arrivals / (self.from_rps + root))


def pieces(stretches: Iterable[Piece], seed: int) -> Iterator[float]:
    """A Poisson process whose rate follows `stretches`; it ends with the last of them."""
    units = _random(seed)
    total = units.expovariate(1.0)
    before, begin_s, at_s = 0.0, 0.0, 0.0
    for piece in stretches:
        expected = piece.arrivals
        while total < before + expected:
            at_s = _later(begin_s + piece.when(total - before), at_s)
            yield at_s
            total += units.expovariate(1.0)
        before += expected
        begin_s += piece.length_s


def ramp(from_rps: float, to_rps: float, over_s: float, seed: int) -> Iterator[float]:
    """A Poisson process whose rate goes in a straight line over `over_s`, then stays."""
    return pieces([Piece(over_s, from_rps, to_rps), _for_ever(to_rps)], seed)


def steps(rates_rps: tuple[float, ...], each_s: float, seed: int) -> Iterator[float]:
    """A Poisson process with one rate after another for `each_s`; the last one stays."""
    return pieces(
        [*(Piece(each_s, rate, rate) for rate in rates_rps), _for_ever(rates_rps[-1])], seed
    )


def spike(
    base_rps: float, peak_rps: float, start_s: float, length_s: float, seed: int
) -> Iterator[float]:
    """A Poisson process at `base_rps`, but at `peak_rps` for `length_s` from `start_s` on."""
    stretches = [
        Piece(start_s, base_rps, base_rps),
        Piece(length_s, peak_rps, peak_rps),
        _for_ever(base_rps),
    ]
    return pieces(stretches, seed)


def diurnal(low_rps: float, high_rps: float, period_s: float, seed: int) -> Iterator[float]:
    """A Poisson process whose rate swings as a cosine, `low_rps` at 0 and after each period.

    λ(t) = mean − swing · cos(2πt / period), Λ(t) = mean · t − swing · period / 2π · sin(2πt /
    period), where mean = (low + high) / 2 and swing = (high − low) / 2.
    """
    units = _random(seed)
    mean_rps, swing_rps = (low_rps + high_rps) / 2, (high_rps - low_rps) / 2
    a_period = mean_rps * period_s
    total, at_s = 0.0, 0.0
    while True:
        total += units.expovariate(1.0)
        whole, rest = divmod(total, a_period)
        within_s = _inverse_of_swing(rest, mean_rps, swing_rps, period_s)
        at_s = _later(whole * period_s + within_s, at_s)
        yield at_s


def _inverse_of_swing(arrivals: float, mean_rps: float, swing_rps: float, period_s: float) -> float:
    """Where Λ reaches `arrivals` in the first period: Newton's steps, kept in a bracket."""
    low_s, high_s = 0.0, period_s
    angular = 2 * math.pi / period_s
    at_s = arrivals / mean_rps
    for _ in range(_STEPS_OF_INVERSION):
        over = mean_rps * at_s - swing_rps / angular * math.sin(angular * at_s) - arrivals
        if over > 0:
            high_s = at_s
        else:
            low_s = at_s
        rate_rps = mean_rps - swing_rps * math.cos(angular * at_s)
        next_s = at_s - over / rate_rps if rate_rps > 0 else math.inf
        if not low_s < next_s < high_s:
            next_s = (low_s + high_s) / 2
        if abs(next_s - at_s) <= 1e-12 * period_s:
            return next_s
        at_s = next_s
    return at_s


def replay(times_s: Iterable[float], speed: float) -> Iterator[float]:
    """Given times, `speed` times as fast. Ends with them."""
    return (at_s / speed for at_s in times_s)


def _random(seed: int) -> random.Random:
    return random.Random(f"arrivals:{seed}")


def _for_ever(rate_rps: float) -> Piece:
    return Piece(math.inf, rate_rps, rate_rps)


def _later(at_s: float, last_s: float) -> float:
    """`at_s`, or the next number after `last_s` where a gap was too small for a float."""
    return at_s if at_s > last_s else math.nextafter(last_s, math.inf)
