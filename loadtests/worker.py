"""A worker's side of a run: it drives its share and sends every record to its master.

Locust's own messages start and stop the users. Ours go before and after them: `messages.py`.
"""

import os
import socket
import sys
import time
from dataclasses import asdict
from typing import Any, Protocol

import gevent
import pyarrow as pa
from locust.env import Environment
from locust.exception import RPCError
from locust.runners import WorkerRunner

from loadtests import messages
from loadtests.clock import RunClock
from loadtests.errors import LoadError
from loadtests.process import allow_open_files, parent_is_gone
from loadtests.run import ActiveRun
from loadtests.share import Share
from measure.records import Record
from measure.shards import Rows

_SHIP_S = 0.5
# Locust itself would go on loading the server for a minute.
_MASTER_SILENT_S = 15.0
_WATCH_S = 1.0
# The master's own files and paths mean nothing here.
_MASTERS_OWN = ("run_dir", "engine_json", "metrics_targets")


class Test(Protocol):
    """What a worker must know of its test: `loadtests.session.Session`."""

    @property
    def name(self) -> str:
        """The scenario and the model."""

    def prepare(self, parsed: Any) -> None:
        """Check options and server; raises `LoadError`."""


class Worker:
    """Answers the master for this process, run after run."""

    def __init__(self, test: Test, environment: Environment) -> None:
        assert isinstance(environment.runner, WorkerRunner)
        self._test = test
        self._environment = environment
        self._runner = environment.runner
        self._begin: messages.Begin | None = None
        self._run: WorkerRun | None = None
        self._runner.register_message(messages.PREPARE, self._on_prepare, concurrent=True)
        self._runner.register_message(messages.BEGIN, self._on_begin)
        self._runner.register_message(messages.END, self._on_end, concurrent=True)
        # Before Locust's own listener, which tells the master that this worker has quit.
        environment.events.quitting.add_listener(self._on_quitting)
        gevent.spawn(self._watch_master)

    def start(self) -> "WorkerRun | None":
        """The run that the master began; `None` for a worker that came too late for it."""
        begin, self._begin = self._begin, None
        if begin is None:
            print("This worker came while a run goes on, and takes no part in it.", file=sys.stderr)
            return None
        self._run = WorkerRun(begin, self._environment, self._runner, self._test.name)
        return self._run

    def finished(self) -> None:
        """The share of a schedule that has an end is over, and all its answers have come."""
        if self._run is not None and not self._run.closed:
            self._run.finished()

    def _on_prepare(self, msg: Any, **_: Any) -> None:
        asked = messages.Prepare(**msg.data)
        parsed = self._environment.parsed_options
        vars(parsed).update(asked.options | dict.fromkeys(_MASTERS_OWN, ""))
        refusal = None
        try:
            self._test.prepare(parsed)
            allow_open_files(asked.streams, all_of_them=asked.all_of_them)
        except LoadError as error:
            refusal = str(error)
        name = f"{socket.gethostname()}:{os.getpid()}"
        prepared = messages.pack(messages.Prepared(name, time.time(), refusal))
        self._runner.send_message(messages.PREPARED, prepared)

    def _on_begin(self, msg: Any, **_: Any) -> None:
        self._begin = messages.Begin(**msg.data)

    def _on_end(self, **_: Any) -> None:
        if self._run is not None and not self._run.closed:
            self._runner.stop()

    def _on_quitting(self, **_: Any) -> None:
        if self._run is not None and not self._run.closed:
            self._run.left = True
            self._runner.stop()

    def _watch_master(self) -> None:
        """End with the master: requests whose records nobody takes are not worth sending."""
        while True:
            gevent.sleep(_WATCH_S)
            heard = self._runner.last_heartbeat_timestamp
            silent = heard is not None and time.time() - heard > _MASTER_SILENT_S
            if silent or parent_is_gone():
                self._environment.stop_timeout = 0
                self._runner.quit()
                return


class WorkerRun:
    """One worker's part of a run."""

    def __init__(
        self, begin: messages.Begin, environment: Environment, runner: WorkerRunner, name: str
    ) -> None:
        self._run_id = begin.run_id
        self._runner = runner
        self._rows = Rows()
        self.left = self.closed = False
        self.active = ActiveRun(
            run_id=begin.run_id,
            share=Share(begin.index, begin.count),
            clock=RunClock(epoch_s=begin.epoch_s),
            sink=self,
            environment=environment,
            name=name,
            ends_s=begin.ends_s,
            then=lambda: None,
        )
        self._shipping = gevent.spawn(self._ship_often)

    def append(self, record: Record) -> None:
        """Keep a record until the next batch goes."""
        self._rows.append(record)

    def stop_offering(self) -> None:
        """The load ends now."""
        self.active.stop_offering()

    def finished(self) -> None:
        """Tell the master that the schedule is over here."""
        end_s = self.active.recorder.end_s or self.active.clock.now_s()
        finished = messages.Finished(self._run_id, end_s)
        self._runner.send_message(messages.FINISHED, messages.pack(finished))

    def close(self) -> None:
        """Send the master all that is left, and what this process says of itself."""
        self.closed = True
        self.active.close()
        self._shipping.kill()
        self._ship()
        done = messages.Done(self._run_id, asdict(self.active.recorder.stats()), self.left)
        self._runner.send_message(messages.DONE, messages.pack(done))

    def _ship_often(self) -> None:
        while True:
            gevent.sleep(_SHIP_S)
            # Kept for the next time if the master cannot be reached now.
            try:
                self._ship()
            except RPCError:
                continue

    def _ship(self) -> None:
        batch: pa.RecordBatch | None = self._rows.batch()
        recorder = self.active.recorder
        message = messages.Batch(
            self._run_id,
            b"" if batch is None else batch.serialize().to_pybytes(),
            recorder.in_flight,
            recorder.loop_lag_s,
        )
        self._runner.send_message(messages.BATCH, messages.pack(message))
        self._rows.clear()
