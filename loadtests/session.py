"""One load test inside one Locust process: its options, its run, and Locust's events around it.

A scenario's user class makes one for itself when its file is loaded. Then Locust drives: command
line -> `init` (options and server are checked, nothing runs yet) -> `test_start` (the run folder
is made) -> `test_stopping` (the end of the window) -> `test_stop` (the run is written whole) ->
`quit` (the table is printed, after Locust's own).

With --processes, or --master and --worker, each process has one. The master's keeps the run, and
the workers' learn from it what is asked (`messages.py`).
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gevent
from gevent.lock import RLock
from locust import events
from locust.env import Environment
from locust.runners import MasterRunner as LocustMaster
from locust.runners import WorkerRunner as LocustWorker
from locust.stats import CSV_STATS_INTERVAL_SEC

from loadtests import flags, process
from loadtests import options as opts
from loadtests.errors import LoadError
from loadtests.master import Crew, MasterRun
from loadtests.options import Options
from loadtests.protocols.classify import CLASSIFIERS
from loadtests.protocols.contract import Target
from loadtests.report import print_report
from loadtests.run import ActiveRun, Ended, LocalRun, Run
from loadtests.talk import Talk
from loadtests.worker import Worker
from loadtests.workload import Turn
from measure.errors import MeasureError
from measure.manifest import CLOSED_LOOP


class _OurTimer(float):
    """A run time that Locust prints as it was asked for, and leaves to the run to keep.

    Locust's own timer starts before the workers and the run are ready, by as long as that takes.
    """

    def __new__(cls, seconds: float) -> "_OurTimer":
        return super().__new__(cls, 1e9)

    def __init__(self, seconds: float) -> None:
        self._text = f"{seconds:g}"

    def __str__(self) -> str:
        return self._text


class Session:
    """The one load test of this process. `run` is set while users may send."""

    options: Options
    target: Target

    def __init__(
        self, scenario: str, protocols: tuple[str, ...], find_target: Callable[[Options], Target]
    ) -> None:
        self.scenario = scenario
        self.run: Run | None = None
        self.count_tokens: Callable[[str], int] | None = None
        self._protocols = protocols
        self._find_target = find_target
        self._runs = 0
        self._report: Ended | None = None
        self._crew: Crew | None = None
        self._worker: Worker | None = None
        self._own_options: set[str] = set()
        self._writes_csv = False
        self._closing = RLock()
        process.end_with_parent()
        events.init_command_line_parser.add_listener(self._add_arguments)
        events.init.add_listener(self._prepare)
        events.test_start.add_listener(self._start)
        events.test_stopping.add_listener(self._stopping)
        events.test_stop.add_listener(self._stop)
        events.quitting.add_listener(process.finish_in_peace)
        events.quit.add_listener(self._quit)

    @property
    def active(self) -> ActiveRun:
        """The run that goes on. Users exist only while there is one."""
        assert self.run is not None and self.run.active is not None
        return self.run.active

    @property
    def name(self) -> str:
        """The scenario and the model, as Locust's own statistics have them."""
        return f"{self.scenario} {self.target.model}"

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
        end = process.ender(environment) if self._worker is None else self._worker.finished

        def wait_and_end() -> None:
            after()
            end()

        gevent.spawn(wait_and_end)

    def manifest_facts(self, users: int, workers: int) -> dict[str, Any]:
        """What the manifest holds of the test."""
        return {
            "load": self._load_facts(users, workers),
            "engine": {"model": self.target.model, **self.options.engine},
        }

    def prepare(self, parsed: Namespace) -> None:
        """Check what was asked for and the server, and get ready. Raises `LoadError`."""
        self.options = opts.check(parsed)
        tokenizer = self.options.tokenizer
        if tokenizer is not None:
            self.count_tokens = lambda text: len(tokenizer.ids(text))
        self.target = self._find_target(self.options)
        process.warm_up()

    def _load_facts(self, users: int, workers: int) -> dict[str, Any]:
        options = self.options
        arrival: dict[str, Any] = (
            {"kind": CLOSED_LOOP, "users": users}
            if options.schedule is None
            else {**options.schedule.facts, "max_in_flight": options.max_in_flight}
        )
        return {
            "scenario": self.scenario,
            "protocol": options.protocol,
            **({"transport": options.transport} if options.protocol in CLASSIFIERS else {}),
            **({"dialect": self.target.dialect} if self.target.dialect else {}),
            "host": options.host,
            "arrival": arrival,
            "duration_s": options.duration_s,
            "warmup": options.warmup.as_dict(),
            "prompt": options.asking.facts,
            "output_tokens": options.asking.workload.output_facts,
            "seed": options.seed,
            "workers": workers,
        }

    def _add_arguments(self, parser: ArgumentParser, **_: Any) -> None:
        process.keep_master_to_this_machine(sys.argv[1:])
        locusts = {action.dest for action in parser._actions}
        flags.add_arguments(parser, self._protocols)
        self._own_options = {action.dest for action in parser._actions} - locusts

    def _prepare(self, environment: Environment, **_: Any) -> None:
        parsed = environment.parsed_options
        assert parsed is not None
        if isinstance(environment.runner, LocustWorker):
            process.interrupt_main_greenlet_only(later=lambda: self.run is not None)
            process.warm_up()
            self._worker = Worker(self, environment)
            return
        process.interrupt_main_greenlet_only()
        self._writes_csv = bool(parsed.csv_prefix)
        try:
            self.prepare(parsed)
        except LoadError as error:
            process.refuse(str(error))
        except KeyboardInterrupt:
            process.refuse("interrupted; the load test has not begun.")
        if isinstance(environment.runner, LocustMaster):
            self._crew = Crew(environment.runner)
        if parsed.headless and parsed.run_time:
            parsed.run_time = _OurTimer(parsed.run_time)
        if self.options.schedule is not None:
            if parsed.num_users:
                print(
                    f"Note: -u {parsed.num_users} is not used: in an open loop requests start by "
                    "the arrival process, however many are under way.",
                    file=sys.stderr,
                )
            # One Locust user of each process is the dispatcher of all its requests.
            parsed.num_users = parsed.spawn_rate = (
                1 if self._crew is None else parsed.expect_workers
            )

    def _start(self, environment: Environment, **_: Any) -> None:
        if self._worker is not None:
            self.run = self._worker.start()
            return
        try:
            if self._crew is None:
                closed_loop = self.options.schedule is None
                process.allow_open_files(self.options.streams, all_of_them=closed_loop)
                run: LocalRun | MasterRun = LocalRun(self, environment)
            else:
                run = MasterRun(self, environment, self._crew, self._asked(environment))
            self.run = run
        except (LoadError, MeasureError) as error:
            process.refuse(str(error))
        # Users come at the rate asked for from the zero of the run on.
        if self.options.schedule is None:
            gevent.sleep(max(0.0, -run.clock.now_s()))

    def _asked(self, environment: Environment) -> dict[str, Any]:
        """What workers must know of the command line, which may not be theirs."""
        parsed = vars(environment.parsed_options)
        names = self._own_options | {"num_users", "spawn_rate"}
        asked = {name: parsed[name] for name in names if name in parsed}
        return asked | {
            "host": self.options.host,
            "model": self.target.model,
            "run_time": self.options.duration_s,
        }

    def _stopping(self, **_: Any) -> None:
        if self.run is not None:
            self.run.stop_offering()

    def _stop(self, environment: Environment, **_: Any) -> None:
        # It is asked again where Ctrl-C comes while the last answers do: then that waits too.
        with self._closing:
            if self.run is not None:
                self._close(self.run, environment)

    def _close(self, run: Run, environment: Environment) -> None:
        try:
            ended = run.close()
        except MeasureError as error:
            environment.process_exit_code = 1
            print(f"\n{error}", file=sys.stderr)
            return
        finally:
            self.run = None
        if ended is None:
            return
        if ended.failure is not None:
            environment.process_exit_code = 1
            print(f"\n{ended.failure}", file=sys.stderr)
        self._report = ended
        parsed = environment.parsed_options
        if parsed is not None and not parsed.headless:
            self._print()

    def _print(self) -> None:
        if self._report is not None:
            report, self._report = self._report, None
            print_report(report.path, report.summary)

    def _quit(self, **_: Any) -> None:
        # Locust's own tables come first: `quit` is its last event.
        with self._closing:
            self._print()
        if self._writes_csv:
            # Locust writes these files every second and not at the end.
            gevent.sleep(CSV_STATS_INTERVAL_SEC + 0.1)
