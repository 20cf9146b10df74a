"""One timer for the timeouts of all requests, none a request."""

from typing import Protocol

import gevent

from loadtests.clock import RunClock

SWEEP_S = 0.1
_CLOCK_S = 0.02


class Expiring(Protocol):
    """What the sweeper looks after."""

    def expire(self, now_s: float) -> None:
        """End the request under way if it overran one of its timeouts."""


class Sweeper:
    """Ends requests that overran a timeout.

    It looks ten times a second, so a timeout is at most 100 ms late; more looks at every request
    would be CPU that the streams need. It also keeps the run's clock true.
    """

    def __init__(self, clock: RunClock) -> None:
        self.clock = clock
        self.active: set[Expiring] = set()
        self._greenlet = gevent.spawn(self._sweep)

    def _sweep(self) -> None:
        next_s = self.clock.now_s()
        while True:
            gevent.sleep(_CLOCK_S)
            self.clock.resample()
            now_s = self.clock.now_s()
            if now_s < next_s:
                continue
            next_s = now_s + SWEEP_S
            for connection in list(self.active):
                connection.expire(now_s)

    def close(self) -> None:
        """Stop looking."""
        self._greenlet.kill()
