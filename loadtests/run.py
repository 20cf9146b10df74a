"""A run that goes on: what the users of this process need, and what is kept of it where.

One process alone has it all in `LocalRun`. With workers each has a `loadtests.worker.WorkerRun`,
and their master a `loadtests.master.MasterRun` without users.
"""

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import gevent
import locust
from gevent.event import Event
from locust.env import Environment

from loadtests import calibration
from loadtests.clock import RunClock
from loadtests.dial import kernel_stamps_kept_on
from loadtests.exporter import Arrivals, ClientCollector, Exporter
from loadtests.options import Options
from loadtests.process import ender
from loadtests.recorder import Recorder, Sink
from loadtests.share import Share
from loadtests.sweeper import Sweeper
from measure.errors import MeasureError
from measure.manifest import new_manifest, new_run_id
from measure.store import RunWriter

# From all being ready to the first request: what a message to a worker on another host may take.
LEAD_S = 0.5
_LAB_HOME = Path(__file__).resolve().parent.parent / ".lab"


@dataclass(frozen=True)
class Ended:
    """A run that is written. `failure` is why records could not be kept before its end."""

    path: Path
    summary: dict[str, Any]
    failure: MeasureError | None = None


class Run(Protocol):
    """A run as a process sees that has a part in it."""

    @property
    def active(self) -> "ActiveRun | None":
        """What users need, where there are any."""

    def stop_offering(self) -> None:
        """The load ends now; what is in flight may still come in."""

    def close(self) -> Ended | None:
        """Hand over or write what is left; the whole run, if it is kept here."""


class Test(Protocol):
    """What a run must know of its test: `loadtests.session.Session`."""

    scenario: str
    options: Options

    @property
    def name(self) -> str:
        """The scenario and the model."""

    def run_dir(self, run_id: str) -> Path:
        """The folder of the next run."""

    def manifest_facts(self, users: int, workers: int) -> dict[str, Any]:
        """What the manifest holds beside name and time."""


class ActiveRun:
    """What the users of this process need while a run goes on.

    The run's zero is a little ahead when it is made. `stopping` is set when the load ends: at
    `ends_s`, where that is known, or by `stop_offering`.
    """

    def __init__(
        self,
        *,
        run_id: str,
        share: Share,
        clock: RunClock,
        sink: Sink,
        environment: Environment,
        name: str,
        ends_s: float | None,
        then: Callable[[], None],
    ) -> None:
        """`name` is for Locust's statistics; `then` is done when the load has ended by itself."""
        self.run_id = run_id
        self.share = share
        self.clock = clock
        self.stopping = Event()
        self._ends_s = ends_s
        self._then = then
        self._numbers = share.numbers()
        self._dispatched = False
        with contextlib.ExitStack() as resources:
            resources.enter_context(kernel_stamps_kept_on())
            self.sweeper = Sweeper(clock)
            resources.callback(self.sweeper.close)
            self.recorder = Recorder(sink, environment, clock, name)
            if ends_s is not None:
                end = gevent.spawn_later(ends_s - clock.now_s(), self._end_by_itself)
                resources.callback(end.kill)
            self._resources = resources.pop_all()

    def next_number(self) -> int:
        """The number of this process's next request; each makes its own prompt."""
        return next(self._numbers)

    def may_dispatch(self) -> bool:
        """True once: one user of this process dispatches its arrivals, however many there are."""
        first, self._dispatched = not self._dispatched, True
        return first

    def wire_id(self, name: str) -> str:
        """What a request (`Talk.name`) is called on the wire, unlike any of another run."""
        return f"{self.run_id}-{self.share.request_id(name)}"

    def stop_offering(self) -> None:
        """The load ends now; what is in flight may still come in."""
        if not self.stopping.is_set():
            now_s = self.clock.now_s()
            self.recorder.end_s = now_s if self._ends_s is None else min(now_s, self._ends_s)
            self.stopping.set()

    def _end_by_itself(self) -> None:
        self.stop_offering()
        # Not by this greenlet, which ends with the run.
        gevent.spawn(self._then)

    def close(self) -> None:
        """The users are gone: stop watching the clock and the loop."""
        self.stop_offering()
        self.recorder.close()
        self._resources.close()


class LocalRun:
    """A run driven and kept by this process alone."""

    def __init__(self, test: Test, environment: Environment) -> None:
        """Make the run's folder and start recording. Raises `MeasureError` or `LoadError`."""
        with contextlib.ExitStack() as resources:
            kept = Keeping(test, environment, workers=1, gauges=self._gauges)
            resources.callback(kept.close)
            self._writer = RunWriter.create(kept.path, kept.manifest, on_batch=kept.collector.add)
            self.active = ActiveRun(
                run_id=kept.path.name,
                share=Share(),
                clock=kept.clock,
                sink=self._writer,
                environment=environment,
                name=test.name,
                ends_s=ends_s(test.options, environment),
                then=ender(environment),
            )
            self.clock = kept.clock
            self._resources = resources.pop_all()

    def stop_offering(self) -> None:
        """The load ends now."""
        self.active.stop_offering()

    def close(self) -> Ended:
        """Write the run whole. Raises `MeasureError`; finished records stay."""
        self.active.close()
        with self._resources:
            summary = self._writer.close(self.active.recorder.stats())
        return Ended(self._writer.path, summary, self.active.recorder.failure)

    def _gauges(self) -> tuple[int, float]:
        return self.active.recorder.in_flight, self.active.recorder.loop_lag_s


class Keeping:
    """What the process that keeps a run makes for it: folder name, manifest, clock, live metrics.

    The clock's zero is `LEAD_S` after all the rest is there.
    """

    def __init__(
        self,
        test: Test,
        environment: Environment,
        *,
        workers: int,
        gauges: Callable[[], tuple[int, float]],
    ) -> None:
        """`gauges` gives requests in flight and loop lag. Raises `MeasureError` or `LoadError`."""
        options, runner = test.options, environment.runner
        assert runner is not None
        engine = str(options.engine.get("name") or "server")
        now = datetime.now(UTC).astimezone()
        self.path = test.run_dir(new_run_id(engine, test.scenario, now))
        # From the web page the number of users is not what the command line said.
        manifest = new_manifest(
            run_id=self.path.name,
            epoch_s=time.time(),
            slo=options.slo,
            versions={"locust": locust.__version__, "gevent": version("gevent")},
            **test.manifest_facts(runner.target_user_count, workers),
        )
        calibrated = calibration.applying(_home(), workers, manifest["machine"])
        if calibrated is not None:
            manifest["load"]["calibration"] = calibrated
        self.collector = ClientCollector(self.path.name, test.scenario, gauges)
        labels = {"job": "client", "instance": self.path.name}
        self._exporter = Exporter(
            self.collector, port=options.metrics_port, targets=_targets(options), labels=labels
        )
        self.clock = RunClock(starts_in_s=LEAD_S)
        if options.schedule is None:
            self.collector.users = lambda: int(runner.user_count)
        else:
            offsets_s, last_s = (
                options.schedule.offsets_s(options.seed),
                ends_s(options, environment),
            )
            self.collector.offered = Arrivals(offsets_s, self.clock.now_s, last_s)
        self.manifest = {**manifest, "epoch_s": self.clock.epoch_s}

    def close(self) -> None:
        """Take the live metrics away."""
        self._exporter.close()


def ends_s(options: Options, environment: Environment) -> float | None:
    """When the load ends by itself, on the run's clock. On the web page Locust's timer says."""
    parsed = environment.parsed_options
    return options.duration_s if parsed is not None and parsed.headless else None


def _targets(options: Options) -> Path | None:
    if options.metrics_targets is not None:
        return options.metrics_targets
    targets = _home() / "targets"
    return targets if targets.is_dir() else None


def _home() -> Path:
    return Path(os.environ.get("SERVING_LAB_HOME") or _LAB_HOME)
