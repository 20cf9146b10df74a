"""One timer for the timeouts of all requests, none a request."""

from typing import Protocol

import gevent

from loadtests.clock import RunClock

SWEEP_S = 0.02


class Expiring(Protocol):
    """What the sweeper looks after."""

    def expire(self, now_s: float) -> None:
        """End the request under way if it overran one of its timeouts."""


class Sweeper:
    """Ends requests that overran a timeout.

    It looks every 20 ms, so a timeout is at most that late. It also keeps the run's clock true.
    """

    def __init__(self, clock: RunClock) -> None:
        self.clock = clock
        self.active: set[Expiring] = set()
        self._greenlet = gevent.spawn(self._sweep)

    def _sweep(self) -> None:
        while True:
            gevent.sleep(SWEEP_S)
            self.clock.resample()
            now_s = self.clock.now_s()
            for connection in list(self.active):
                connection.expire(now_s)

    def close(self) -> None:
        """Stop looking."""
        self._greenlet.kill()
