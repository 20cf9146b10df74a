"""One load test inside one Locust process: its options, its run, and Locust's events around it.

`begin` is what a scenario's user class calls for itself when its file is loaded. Then Locust
drives: command line -> `init` (options and server are checked, nothing runs yet) -> `test_start`
(the run folder is made) -> `test_stopping` (the end of the window) -> `test_stop` (the run is
written whole) -> `quit` (the table is printed, after Locust's own).
"""

import contextlib
import gc
import os
import signal
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

import gevent
import locust
import pyarrow as pa
from gevent.event import Event
from locust import events
from locust.env import Environment

from loadtests import flags
from loadtests import options as opts
from loadtests.clock import RunClock
from loadtests.errors import LoadError
from loadtests.exporter import ClientCollector, Exporter
from loadtests.options import Options
from loadtests.protocols.contract import Target
from loadtests.recorder import Recorder
from loadtests.report import print_report
from loadtests.share import Share
from loadtests.stream import Sweeper, kernel_stamps_kept_on
from loadtests.talk import Talk
from loadtests.workload import Turn
from measure.errors import MeasureError
from measure.manifest import CLOSED_LOOP, new_manifest, new_run_id
from measure.store import RunWriter

_LAB_HOME = Path(__file__).resolve().parent.parent / ".lab"


class ActiveRun:
    """What users need while a run goes on."""

    def __init__(self, session: "Session", environment: Environment) -> None:
        """Make the run folder and start recording. Raises `MeasureError` or `LoadError`."""
        options = session.options
        now = datetime.now(UTC).astimezone()
        self.clock = RunClock()
        engine = str(options.engine.get("name") or "server")
        run_id = new_run_id(engine, session.scenario, now)
        self.path = session.run_dir(run_id)
        # From the web page it is not what the command line said.
        users = environment.runner.target_user_count if environment.runner else options.users
        manifest = new_manifest(
            run_id=self.path.name,
            epoch_s=self.clock.epoch_s,
            load=session.load_facts(users),
            engine={"model": session.target.model, **options.engine},
            slo=options.slo,
            versions={"locust": locust.__version__, "gevent": version("gevent")},
        )
        self.share = Share()
        self.stopping = Event()
        self._numbers = self.share.numbers()
        self._resources = contextlib.ExitStack()
        self._resources.enter_context(kernel_stamps_kept_on())
        self.sweeper = Sweeper(self.clock)
        self._resources.callback(self.sweeper.close)
        collector = ClientCollector(
            self.path.name, session.scenario,
            lambda: (self.recorder.in_flight, self.recorder.loop_lag_s),
        )  # fmt: skip
        labels = {"job": "client", "instance": self.path.name}
        exporter = Exporter(
            collector, port=options.metrics_port, targets=_targets(options), labels=labels
        )
        self._resources.callback(exporter.close)
        writer = RunWriter.create(self.path, manifest)
        self.recorder = Recorder(
            writer, collector, environment, self.clock, f"{session.scenario} {session.target.model}"
        )

    def next_number(self) -> int:
        """The number of this process's next request; each makes its own prompt."""
        return next(self._numbers)

    def wire_id(self, name: str) -> str:
        """What a request is called on the wire, unlike any of another run."""
        return f"{self.path.name}-{self.share.request_id(name)}"

    def stop_offering(self) -> None:
        """The load ends now; what is in flight may still come in."""
        if not self.stopping.is_set():
            self.recorder.end_s = self.clock.now_s()
            self.stopping.set()

    def close(self) -> dict[str, Any]:
        """Write the run whole; its summary. Raises `MeasureError`; finished records stay."""
        self.stop_offering()
        try:
            return self.recorder.close()
        finally:
            self._resources.close()


class Session:
    """The one load test of this process. `run` is set while users may send."""

    options: Options
    target: Target

    def __init__(
        self, scenario: str, protocols: tuple[str, ...], find_target: Callable[[Options], Target]
    ) -> None:
        self.scenario = scenario
        self.run: ActiveRun | None = None
        self.count_tokens: Callable[[str], int] | None = None
        self._protocols = protocols
        self._find_target = find_target
        self._runs = 0
        self._report: tuple[Path, dict[str, Any]] | None = None
        events.init_command_line_parser.add_listener(self._add_arguments)
        events.init.add_listener(self._prepare)
        events.test_start.add_listener(self._start)
        events.test_stopping.add_listener(self._stopping)
        events.test_stop.add_listener(self._stop)
        events.quit.add_listener(self._quit)

    @property
    def active(self) -> ActiveRun:
        """The run that goes on. Users exist only while there is one."""
        assert self.run is not None
        return self.run

    def run_dir(self, run_id: str) -> Path:
        """The folder of the next run; from the web page a test can be started again."""
        self._runs += 1
        folder = self.options.run_dir or Path("runs") / run_id
        return folder if self._runs == 1 else folder.with_name(f"{folder.name}-{self._runs}")

    def arrival_offsets(self) -> Iterator[float]:
        """The whole schedule of an open loop, in seconds after its begin."""
        assert self.options.schedule is not None
        return self.options.schedule.offsets_s(self.options.seed)

    def turn(self, talk: Talk) -> Turn | None:
        """What the user says now; `None` where the conversation is over."""
        workload = self.options.asking.workload
        if talk.number == workload.size and talk.turn == 0:
            print(
                f"Note: all {workload.size} conversations of the dataset were asked; they are "
                "asked again from here on, and a prefix cache may answer.",
                file=sys.stderr,
            )
        return workload.turn(talk.number, talk.turn)

    def schedule_ended(self, environment: Environment, after: Callable[[], Any]) -> None:
        """The schedule had an end: the load ends with it, `after` its answers have come."""
        runner, parsed = environment.runner, environment.parsed_options
        assert runner is not None
        end = runner.stop if parsed is not None and not parsed.headless else runner.quit

        def wait_and_end() -> None:
            after()
            end()

        gevent.spawn(wait_and_end)

    def load_facts(self, users: int) -> dict[str, Any]:
        """The manifest's `load`."""
        options = self.options
        arrival: dict[str, Any] = (
            {"kind": CLOSED_LOOP, "users": users}
            if options.schedule is None
            else {**options.schedule.facts, "max_in_flight": options.max_in_flight}
        )
        return {
            "scenario": self.scenario,
            "protocol": options.protocol,
            **({"transport": options.transport} if options.protocol == "kserve-infer" else {}),
            **({"dialect": self.target.dialect} if self.target.dialect else {}),
            "host": options.host,
            "arrival": arrival,
            "duration_s": options.duration_s,
            "warmup_s": options.warmup_s,
            "prompt": options.asking.facts,
            "output_tokens": options.asking.workload.output_facts,
            "seed": options.seed,
            "workers": 1,
        }

    def _add_arguments(self, parser: ArgumentParser, **_: Any) -> None:
        flags.add_arguments(parser, self._protocols)

    def _prepare(self, environment: Environment, **_: Any) -> None:
        parsed = environment.parsed_options
        assert parsed is not None
        _interrupt_main_greenlet_only()
        try:
            self.options = opts.check(parsed)
            tokenizer = self.options.tokenizer
            if tokenizer is not None:
                self.count_tokens = lambda text: len(tokenizer.ids(text))
            self.target = self._find_target(self.options)
            _warm_up()
        except LoadError as error:
            _refuse(str(error))
        except KeyboardInterrupt:
            _refuse("interrupted; the load test has not begun.")
        if self.options.schedule is not None:
            if parsed.num_users:
                print(
                    f"Note: -u {parsed.num_users} is not used: in an open loop requests start by "
                    "the arrival process, however many are under way.",
                    file=sys.stderr,
                )
            # One Locust user is the dispatcher of all requests.
            parsed.num_users, parsed.spawn_rate = 1, 1

    def _start(self, environment: Environment, **_: Any) -> None:
        try:
            self.run = ActiveRun(self, environment)
        except (LoadError, MeasureError) as error:
            _refuse(str(error))

    def _stopping(self, **_: Any) -> None:
        if self.run is not None:
            self.run.stop_offering()

    def _stop(self, environment: Environment, **_: Any) -> None:
        if self.run is None:
            return
        run, self.run = self.run, None
        try:
            summary = run.close()
        except MeasureError as error:
            environment.process_exit_code = 1
            print(f"\n{error}", file=sys.stderr)
            return
        if run.recorder.failure is not None:
            environment.process_exit_code = 1
            print(f"\n{run.recorder.failure}", file=sys.stderr)
        self._report = (run.path, summary)
        parsed = environment.parsed_options
        if parsed is not None and not parsed.headless:
            self._quit()

    def _quit(self, **_: Any) -> None:
        # Locust's own tables come first: `quit` is its last event.
        if self._report is not None:
            report, self._report = self._report, None
            print_report(*report)


def _refuse(message: str) -> NoReturn:
    """End before anything has started. Locust turns exceptions in listeners into tracebacks."""
    print(f"locust: error: {message}", file=sys.stderr, flush=True)
    sys.exit(1)


def _interrupt_main_greenlet_only() -> None:
    """Let Ctrl-C reach Locust, whatever greenlet is running at that moment.

    Python raises KeyboardInterrupt in the middle of whichever greenlet runs; in one that is a
    `Thread` (the metrics server, the run writer) it is swallowed and the load test goes on, in
    the event loop's own callback it would tear a read apart. Through gevent it goes to the main
    greenlet, where Locust waits for it. A shell that had us ignore it is obeyed.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        hub = gevent.get_hub()
        gevent.signal_handler(
            signal.SIGINT, lambda: hub.handle_system_error(KeyboardInterrupt, KeyboardInterrupt())
        )


def _warm_up() -> None:
    """Have everything imported that would otherwise hold up the first requests of a run."""
    # pyarrow imports pandas with the first list it converts: half a second.
    pa.array([0.0])
    # What is there by now stays: collections during the run need not look through it.
    gc.collect()
    gc.freeze()


def _targets(options: Options) -> Path | None:
    if options.metrics_targets is not None:
        return options.metrics_targets
    targets = Path(os.environ.get("SERVING_LAB_HOME") or _LAB_HOME) / "targets"
    return targets if targets.is_dir() else None
