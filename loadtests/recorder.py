"""Where finished requests go: the run store (or the master that keeps it), Locust's statistics.

Also keeps what the client must say of itself at the end: CPU, loop lag, most requests in flight.
"""

import time
from typing import Protocol

import gevent
import numpy as np
from locust.env import Environment

from loadtests.clock import RunClock
from loadtests.cores import core_wait_s
from loadtests.errors import StreamError
from measure.errors import MeasureError
from measure.records import Record, Status
from measure.verdict import ClientStats

_LAG_PERIOD_S = 0.05


class Sink(Protocol):
    """What keeps records."""

    def append(self, record: Record) -> None:
        """Keep it; raises `MeasureError` if that is not possible."""


class Recorder:
    """Takes the records of one process. A greenlet watches its event loop until `close`."""

    def __init__(self, sink: Sink, environment: Environment, clock: RunClock, name: str) -> None:
        """`name` is what Locust's own statistics call the requests."""
        self._sink = sink
        assert environment.runner is not None
        self._quit = environment.runner.quit
        self._events = environment.events
        self._clock = clock
        self._name = name
        self._cpu_at_start_s = time.process_time()
        self._core_wait_at_start_s = core_wait_s()
        self._lags_s: list[float] = []
        self._watching = gevent.spawn(self._watch_loop)
        self._closed_s: float | None = None
        self.in_flight = 0
        self.max_in_flight = 0
        self.cap_hits = 0
        self.end_s: float | None = None
        self.failure: MeasureError | None = None

    @property
    def loop_lag_s(self) -> float:
        """How late the last timer fired."""
        return self._lags_s[-1] if self._lags_s else 0.0

    def started(self) -> None:
        """A request is about to be sent."""
        self.in_flight += 1
        self.max_in_flight = max(self.max_in_flight, self.in_flight)

    def finished(self, record: Record, received_bytes: int) -> None:
        """A request that had `started` came to its end, whatever that was."""
        self.in_flight -= 1
        self._take(record, received_bytes)

    def dropped(self, record: Record) -> None:
        """An arrival that the cap on requests in flight did not let start."""
        self.cap_hits += 1
        self.unsent(record)

    def unsent(self, record: Record) -> None:
        """An arrival of the schedule that was never sent."""
        self._take(record, 0)

    def close(self) -> None:
        """The last request has ended: nothing is measured any more."""
        self._watching.kill()
        self._closed_s = self._clock.now_s()

    def stats(self) -> ClientStats:
        """What this process says of itself, up to now or to `close`."""
        now_s = self._clock.now_s() if self._closed_s is None else self._closed_s
        return ClientStats(
            cpu_s=time.process_time() - self._cpu_at_start_s,
            core_wait_s=core_wait_s() - self._core_wait_at_start_s,
            wall_s=now_s,
            max_in_flight=self.max_in_flight,
            loop_lag_p99_s=float(np.quantile(self._lags_s, 0.99)) if self._lags_s else None,
            cap_hits=self.cap_hits,
            end_s=now_s if self.end_s is None else self.end_s,
        )

    def _take(self, record: Record, received_bytes: int) -> None:
        try:
            self._sink.append(record)
        except MeasureError as error:
            self._give_up(error)
        if record.status is Status.CANCELLED:
            return
        failed = None if record.status is Status.OK else StreamError(record.error or record.status)
        sent_s = record.scheduled_s if record.sent_s is None else record.sent_s
        end_s = record.last_content_s or record.done_s or sent_s
        # One entry a request: a second one for TTFT would double Locust's own request rate.
        self._events.request.fire(
            request_type="POST",
            name=self._name,
            response_time=(end_s - sent_s) * 1000,
            response_length=received_bytes,
            exception=failed,
            context={},
        )

    def _give_up(self, error: MeasureError) -> None:
        """Records cannot be kept any more: a load that is not recorded is not worth sending."""
        if self.failure is None:
            self.failure = error
            gevent.spawn(self._quit)

    def _watch_loop(self) -> None:
        while True:
            due_s = self._clock.now_s() + _LAG_PERIOD_S
            gevent.sleep(_LAG_PERIOD_S)
            self._lags_s.append(max(0.0, self._clock.now_s() - due_s))
