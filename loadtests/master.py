"""The master's side of a run: it begins and ends the run, and keeps what its workers send.

It drives nothing itself. `messages.py` has the conversation.
"""

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gevent
from locust.env import Environment
from locust.runners import STATE_MISSING
from locust.runners import MasterRunner as LocustMaster

from loadtests import messages
from loadtests.errors import LoadError
from loadtests.process import ender
from loadtests.run import ActiveRun, Ended, Keeping, Test, ends_s
from measure.errors import MeasureError
from measure.store import Gathering
from measure.verdict import ClientStats

_PREPARE_S = 120.0
# Beyond what the users may take to end: the last batches under way.
_LAST_WORDS_S = 15.0
_POLL_S = 0.05
# The workers' clocks share one zero through their wall clocks. Well synchronised ones differ by
# milliseconds; an answer takes no longer. At a second a load is no longer the one asked for.
_CLOCKS_APART_S = 1.0


@dataclass
class _Member:
    """A worker of the run. `done` is what it said of itself at its end, asked or not (`left`).

    `finished_s` is the end of its share of a schedule that has one.
    """

    index: int
    name: str = "?"
    prepared: bool = False
    refusal: str | None = None
    in_flight: int = 0
    loop_lag_s: float = 0.0
    finished_s: float | None = None
    done: ClientStats | None = None
    left: bool = False


class Crew:
    """The workers as the master sees them; one for all runs of this process."""

    def __init__(self, runner: LocustMaster) -> None:
        self._runner = runner
        self._members: dict[str, _Member] = {}
        self._run_id = ""
        self._take: Callable[[int, bytes], None] = lambda index, records: None
        self._finished: Callable[[float], None] = lambda end_s: None
        runner.register_message(messages.PREPARED, self._on_prepared)
        runner.register_message(messages.BATCH, self._on_batch)
        runner.register_message(messages.FINISHED, self._on_finished)
        runner.register_message(messages.DONE, self._on_done)

    @property
    def size(self) -> int:
        """How many workers the run has."""
        return len(self._members)

    def assemble(self, options: dict[str, Any], streams: int, *, all_of_them: bool) -> None:
        """Take all workers that are there, and have each check what is asked of it.

        Raises:
            LoadError: one cannot take part; it is named, with its reason.
        """
        runner = self._runner
        ids = [c.id for c in (*runner.clients.ready, *runner.clients.running)]
        ids.sort(key=runner.get_worker_index)
        self._run_id = ""
        self._members = {one: _Member(index) for index, one in enumerate(ids)}
        each = math.ceil(streams / max(1, len(ids)))
        for one in ids:
            self._send(messages.PREPARE, messages.Prepare(options, each, all_of_them), one)
        self._wait(lambda id_, member: member.prepared, _PREPARE_S)
        for member in self._members.values():
            if member.refusal is not None:
                raise LoadError(f"Worker {member.name} cannot take part: {member.refusal}")
            if not member.prepared:
                raise LoadError(
                    f"Worker {member.index} did not get ready within {_PREPARE_S:g} s, or is gone. "
                    "Look at what it printed."
                )

    def begin(
        self,
        run_id: str,
        epoch_s: float,
        end_s: float | None,
        take: Callable[[int, bytes], None],
        finished: Callable[[float], None],
    ) -> None:
        """Tell each worker its share.

        `take` gets the number of a worker and its batches, `finished` the end of the schedule when
        all have come to it.
        """
        self._run_id, self._take, self._finished = run_id, take, finished
        for id_, member in self._members.items():
            begin = messages.Begin(run_id, epoch_s, end_s, member.index, self.size)
            self._send(messages.BEGIN, begin, id_)

    def end(self, patience_s: float) -> None:
        """Have all workers end, and wait for the last words of those that live."""
        for id_ in self._members:
            self._runner.send_message(messages.END, {}, client_id=id_)
        self._wait(lambda id_, member: member.done is not None, patience_s + _LAST_WORDS_S)

    def gauges(self) -> tuple[int, float]:
        """Requests in flight, of all; the loop lag of the worst."""
        members = self._members.values()
        return sum(m.in_flight for m in members), max((m.loop_lag_s for m in members), default=0.0)

    def stats(self, end_s: float, wall_s: float, cpu_s: float) -> ClientStats:
        """What the client says of itself: all workers, and `cpu_s` of the master."""
        done = [member.done for member in self._members.values() if member.done is not None]
        lags_s = [one.loop_lag_p99_s for one in done if one.loop_lag_p99_s is not None]
        lost = [
            f"worker {m.index}, {m.name}"
            for m in self._members.values()
            if m.done is None or m.left
        ]
        return ClientStats(
            cpu_s=cpu_s + sum(one.cpu_s for one in done),
            core_wait_s=sum(one.core_wait_s for one in done),
            wall_s=wall_s,
            max_in_flight=sum(one.max_in_flight for one in done),
            loop_lag_p99_s=max(lags_s, default=None),
            cap_hits=sum(one.cap_hits for one in done),
            processes=max(1, len(done)),
            end_s=end_s,
            lost_workers=tuple(lost),
        )

    def _wait(self, ready: Callable[[str, _Member], bool], limit_s: float) -> None:
        """Until all workers are ready or gone, or nobody listens to them, or time is up."""
        deadline_s = time.monotonic() + limit_s
        while (
            time.monotonic() < deadline_s
            and self._runner.greenlet
            and any(
                not ready(id_, member) and not self._is_gone(id_)
                for id_, member in self._members.items()
            )
        ):
            gevent.sleep(_POLL_S)

    def _is_gone(self, id_: str) -> bool:
        client = self._runner.clients.get(id_)
        return client is None or client.state == STATE_MISSING

    def _send(self, kind: str, message: messages.Prepare | messages.Begin, id_: str) -> None:
        self._runner.send_message(kind, messages.pack(message), client_id=id_)

    def _on_prepared(self, msg: Any, **_: Any) -> None:
        member = self._members.get(msg.node_id)
        if member is not None:
            said = messages.Prepared(**msg.data)
            member.name, member.refusal, member.prepared = said.worker, said.refusal, True
            apart_s = said.wall_s - time.time()
            if member.refusal is None and abs(apart_s) > _CLOCKS_APART_S:
                member.refusal = (
                    f"its wall clock is {apart_s:+.1f} s off the master's, so that its requests "
                    "would start at other times than they should. Synchronise the clocks (NTP)."
                )

    def _on_batch(self, msg: Any, **_: Any) -> None:
        member = self._members.get(msg.node_id)
        batch = messages.Batch(**msg.data)
        # Of an earlier run, or of a worker that came while this one goes on.
        if member is None or batch.run_id != self._run_id:
            return
        member.in_flight, member.loop_lag_s = batch.in_flight, batch.loop_lag_s
        if batch.records:
            self._take(member.index, batch.records)

    def _on_finished(self, msg: Any, **_: Any) -> None:
        member = self._members.get(msg.node_id)
        finished = messages.Finished(**msg.data)
        if member is None or finished.run_id != self._run_id:
            return
        member.finished_s = finished.end_s
        ends_s = {id_: m.finished_s for id_, m in self._members.items() if not self._is_gone(id_)}
        if None not in ends_s.values():
            self._finished(max(end_s for end_s in ends_s.values() if end_s is not None))

    def _on_done(self, msg: Any, **_: Any) -> None:
        member = self._members.get(msg.node_id)
        done = messages.Done(**msg.data)
        if member is not None and done.run_id == self._run_id:
            member.in_flight = 0
            member.done, member.left = ClientStats(**done.stats), done.left


class MasterRun:
    """A run that workers drive and this process keeps."""

    active: ActiveRun | None = None

    def __init__(
        self, test: Test, environment: Environment, crew: Crew, options: dict[str, Any]
    ) -> None:
        """Gather the workers, make the run's folder, begin. Raises `MeasureError`, `LoadError`."""
        runner = environment.runner
        assert runner is not None
        self._crew = crew
        self._quit = ender(environment)
        self._patience_s = environment.stop_timeout
        self._cpu_at_start_s = time.process_time()
        self._end_s: float | None = None
        self._failure: MeasureError | None = None
        open_loop = test.options.schedule is not None
        users = runner.target_user_count
        streams = test.options.max_in_flight if open_loop else users
        crew.assemble(options, streams, all_of_them=not open_loop)
        if open_loop and users < crew.size:
            raise LoadError(
                f"{crew.size} workers are there for {users} dispatchers of the open loop, which "
                "needs one on each: say how many workers with --expect-workers, or on the web page "
                f"ask for {crew.size} users."
            )
        with contextlib.ExitStack() as resources:
            kept = Keeping(test, environment, workers=crew.size, gauges=crew.gauges)
            resources.callback(kept.close)
            self.clock, self._collector = kept.clock, kept.collector
            self._gathering = Gathering(kept.path, kept.manifest, crew.size)
            self._ends_s = ends_s(test.options, environment)
            crew.begin(kept.path.name, kept.clock.epoch_s, self._ends_s, self._take, self._end_at)
            if self._ends_s is not None:
                left_s = self._ends_s - self.clock.now_s()
                end = gevent.spawn_later(left_s, self._end_at, self._ends_s)
                resources.callback(end.kill)
            self._resources = resources.pop_all()

    def stop_offering(self) -> None:
        """The load ends now, and the workers are told when it is closed."""
        if self._end_s is None:
            now_s = self.clock.now_s()
            self._end_s = now_s if self._ends_s is None else min(now_s, self._ends_s)

    def close(self) -> Ended:
        """Wait for the workers' last records and write the run whole. Raises `MeasureError`."""
        self.stop_offering()
        assert self._end_s is not None
        with self._resources:
            self._crew.end(self._patience_s)
            cpu_s = time.process_time() - self._cpu_at_start_s
            stats = self._crew.stats(self._end_s, self.clock.now_s(), cpu_s)
            summary = self._gathering.close(stats)
        return Ended(self._gathering.path, summary, self._failure)

    def _end_at(self, end_s: float) -> None:
        if self._end_s is None:
            self._end_s = end_s
            # Not by this greenlet: it ends with the run, or is the one that hears the workers.
            gevent.spawn(self._quit)

    def _take(self, worker: int, records: bytes) -> None:
        try:
            self._collector.add(self._gathering.take(worker, records))
        except MeasureError as error:
            if self._failure is None:
                self._failure = error
                gevent.spawn(self._quit)
