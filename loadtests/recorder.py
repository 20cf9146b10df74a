"""Where finished requests go: the run store, Locust's statistics, the live metrics.

Also keeps what the client must say of itself at the end: CPU, loop lag, most requests in flight.
"""

import time
from typing import Any

import gevent
import numpy as np
from locust.env import Environment

from loadtests.clock import RunClock
from loadtests.cores import core_wait_s
from loadtests.errors import StreamError
from loadtests.exporter import ClientCollector
from measure.errors import MeasureError
from measure.records import Record, Status
from measure.store import RunWriter
from measure.verdict import ClientStats

_EXPORT_S = 0.5
_LAG_PERIOD_S = 0.05


class Recorder:
    """Takes the records of one run. Two greenlets export and watch the loop until `close`."""

    def __init__(
        self, writer: RunWriter, collector: ClientCollector, environment: Environment,
        clock: RunClock, name: str,
    ) -> None:  # fmt: skip
        self._writer = writer
        self._collector = collector
        assert environment.runner is not None
        self._quit = environment.runner.quit
        self._events = environment.events
        self._clock = clock
        self._name = name
        self._waiting: list[Record] = []
        self._cpu_at_start_s = time.process_time()
        self._core_wait_at_start_s = core_wait_s()
        self._lags_s: list[float] = []
        self._greenlets = [gevent.spawn(self._export_often), gevent.spawn(self._watch_loop)]
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

    def close(self) -> dict[str, Any]:
        """Write what is left and finish the run. Returns its summary; raises `MeasureError`."""
        gevent.killall(self._greenlets)
        now_s = self._clock.now_s()
        stats = ClientStats(
            cpu_s=time.process_time() - self._cpu_at_start_s,
            core_wait_s=core_wait_s() - self._core_wait_at_start_s,
            wall_s=now_s,
            max_in_flight=self.max_in_flight,
            loop_lag_p99_s=float(np.quantile(self._lags_s, 0.99)) if self._lags_s else None,
            cap_hits=self.cap_hits,
            end_s=now_s if self.end_s is None else self.end_s,
        )
        # The files come first: the live metrics are only for watching.
        summary = self._writer.close(stats)
        self._export()
        return summary

    def _take(self, record: Record, received_bytes: int) -> None:
        try:
            self._writer.append(record)
        except MeasureError as error:
            self._give_up(error)
        self._waiting.append(record)
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

    def _export_often(self) -> None:
        while True:
            gevent.sleep(_EXPORT_S)
            self._export()

    def _give_up(self, error: MeasureError) -> None:
        """Records cannot be kept any more: a load that is not recorded is not worth sending."""
        if self.failure is None:
            self.failure = error
            gevent.spawn(self._quit)

    def _export(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._collector.add(waiting)

    def _watch_loop(self) -> None:
        while True:
            due_s = self._clock.now_s() + _LAG_PERIOD_S
            gevent.sleep(_LAG_PERIOD_S)
            self._lags_s.append(max(0.0, self._clock.now_s() - due_s))
