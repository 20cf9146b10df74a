"""One monotonic clock for a run, and kernel stamps brought onto it.

The kernel stamps arrivals in CLOCK_REALTIME. Linux slews that clock and CLOCK_MONOTONIC alike, so
their difference is constant until somebody steps the wall clock: the difference is sampled again
and again, and a step is counted and followed.
"""

import time

STEP_NS = 200_000
"""A change of the difference above this is a step of the wall clock, not sampling noise."""


def _offset_ns() -> int:
    """CLOCK_REALTIME minus CLOCK_MONOTONIC: of a few samples, the one least disturbed."""
    best_width, best = None, 0
    for _ in range(5):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        width = after - before
        if best_width is None or width < best_width:
            best_width, best = width, wall - (before + after) // 2
    return best


class RunClock:
    """Seconds since the start of the run. `epoch_s` is the wall-clock time of its zero."""

    def __init__(self, *, starts_in_s: float = 0.0, epoch_s: float | None = None) -> None:
        """The zero is `starts_in_s` from now, or the wall-clock time that another process chose.

        On one machine two such clocks agree to a microsecond, on two as well as their wall clocks.
        """
        self._offset_ns = _offset_ns()
        if epoch_s is None:
            self._zero_ns = time.monotonic_ns() + round(starts_in_s * 1e9)
        else:
            self._zero_ns = round(epoch_s * 1e9) - self._offset_ns
        self.epoch_s = (self._zero_ns + self._offset_ns) / 1e9
        self.steps = 0

    def now_s(self) -> float:
        """The present, by the user-space clock."""
        return (time.monotonic_ns() - self._zero_ns) * 1e-9

    def monotonic_ns(self, at_s: float) -> int:
        """A time of the run on CLOCK_MONOTONIC, for timers of the kernel."""
        return self._zero_ns + round(at_s * 1e9)

    def from_wall_s(self, seconds: int, nanoseconds: int) -> float:
        """A kernel stamp (a `timespec` of CLOCK_REALTIME) on the run's clock."""
        return (seconds * 1_000_000_000 + nanoseconds - self._offset_ns - self._zero_ns) * 1e-9

    def resample(self) -> None:
        """Look at the wall clock again; follow it if somebody stepped it."""
        offset_ns = _offset_ns()
        if abs(offset_ns - self._offset_ns) > STEP_NS:
            self.steps += 1
        self._offset_ns = offset_ns
