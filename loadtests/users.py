"""Locust users that send one measured request after another, or dispatch an open loop.

A scenario file subclasses `StreamingUser`, which is all it needs: closed loop is Locust's own
(-u users, each waiting for its answer), open loop is one Locust user that dispatches every
request at the time its arrival process wanted it.
"""

from collections.abc import Iterator
from itertools import chain, takewhile
from typing import Any, ClassVar

import gevent
from gevent.pool import Group
from locust import User, task
from locust.exception import StopUser

from loadtests.alarm import new_alarm
from loadtests.answer import plain_record, to_record, whole_characters
from loadtests.options import Options
from loadtests.preflight import find_target
from loadtests.protocols import openai
from loadtests.protocols.contract import Ask, Target
from loadtests.session import Session
from loadtests.talk import Talk
from loadtests.transport import Client, transport
from loadtests.wire import CONNECT_RETRY_S, Answer
from measure.records import Clock, Record, Status

DROPPED = "max_in_flight: as many requests were under way as --max-in-flight allows"
LATE = "late_client: the load ended before the client got to start it at its scheduled time"

# After its last arrival a schedule's load goes on so long: to connect and send takes that at most.
_SENDING_S = 0.05

_UNTIL_STOPPED_S = 0.1
_NOT_CONNECTED = ("connect_refused", "connect_error", "connect_timeout", "tls_error")


def _nobody_there(answer: Answer) -> bool:
    """Whether no server took the request: not connected, or dropped without a byte of an answer."""
    error = answer.error
    dropped = error is not None and error.kind == "disconnected" and not answer.received_bytes
    return dropped or (error is not None and error.kind in _NOT_CONNECTED)


class LoadUser(User):
    """What every scenario shares: numbering, recording, closed and open loop.

    A subclass says how to `build` the request of a conversation's turn ahead of its time, how to
    `open` a client, how to `send` (fills the answer, raises nothing), what the `record` of an
    answer is, and where conversations have several turns, what the `reply` in it is.

    A user of a closed loop has one conversation after another. One that could not connect, or
    was dropped without an answer, waits `CONNECT_RETRY_S` before its next; after any other end it
    goes on at once. In an open loop
    arrivals begin conversations. A turn after the first is due when the answer before it was
    complete and the user has thought, and in an open loop that moment is its scheduled time: it
    is never due while the server still owes an answer. A turn that fails ends its conversation.

    An open loop records every request that was due before the load ended, also those that the
    client was too late to start. A schedule that has an end (a trace) ends the load.
    """

    abstract = True
    session: ClassVar[Session]
    protocols: ClassVar[tuple[str, ...]]
    clock = Clock.USER

    @classmethod
    def find_target(cls, options: Options) -> Target:
        """The model to load, after the server was asked; raises `LoadError`."""
        raise NotImplementedError

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.abstract and "session" not in cls.__dict__:
            cls.session = Session(cls.__name__.lower(), cls.protocols, cls.find_target)

    def build(self, talk: Talk) -> Any:
        """The request of its present turn, ready to be sent; `None` where it is over."""
        raise NotImplementedError

    def open(self) -> Any:
        """A client for one request at a time, with a `close()`."""
        raise NotImplementedError

    def send(self, client: Any, request: Any, answer: Answer) -> None:
        """Send one request and wait for the end of its answer."""
        raise NotImplementedError

    def reply(self, answer: Answer) -> str:
        """What a good answer says, for the history of its conversation."""
        raise NotImplementedError

    def record(self, answer: Answer, name: str, scheduled_s: float, cancelled: bool) -> Record:
        """The record of an answer without tokens; a protocol that counts them says more."""
        return plain_record(
            answer,
            answer.stamps_s,
            answer.error,
            **self._whose(name),
            scheduled_s=scheduled_s,
            cancelled=cancelled,
        )

    def on_start(self) -> None:
        """Locust: the user starts."""
        self._client: Any = None
        self._under_way = 0

    def on_stop(self) -> None:
        """Locust: the user ends."""
        if self._client is not None:
            self._client.close()

    @task
    def load(self) -> None:
        """One conversation of a closed loop, or the whole of an open one."""
        if self.session.run is None:
            # A worker that came while the run went on: Locust gives it users all the same.
            raise StopUser
        if self.session.options.schedule is None:
            self._next_of_closed_loop()
        else:
            self._open_loop()
            raise StopUser

    def _next_of_closed_loop(self) -> None:
        run = self.session.active
        if run.stopping.is_set():
            # Locust stops its users itself, in a moment, and complains of those that are gone.
            gevent.sleep(_UNTIL_STOPPED_S)
            return
        talk = Talk(run.next_number())
        request = self.build(talk)
        if self._client is None:
            self._client = self.open()
        while True:
            answer, record = self._one(self._client, request, talk.name)
            if _nobody_there(answer):
                run.stopping.wait(CONNECT_RETRY_S)
            following = self._following(talk, answer, record)
            if following is None:
                return
            request, due_s = following
            if run.stopping.wait(max(0.0, due_s - run.clock.now_s())):
                return

    def _following(self, talk: Talk, answer: Answer, record: Record) -> tuple[Any, float] | None:
        """The request of the next turn and when it is due; `None` if there is none."""
        options = self.session.options
        if not options.asking.workload.several_turns or record.status is not Status.OK:
            return None
        talk.say("assistant", self.reply(answer))
        talk.turn += 1
        request = self.build(talk)
        if request is None:
            return None
        done_s = self.session.active.clock.now_s() if answer.done_s is None else answer.done_s
        think_s = options.asking.think_time.draw_s(options.seed, talk.number, talk.turn)
        return request, done_s + think_s

    def _one(
        self, client: Any, request: Any, name: str, scheduled_s: float | None = None
    ) -> tuple[Answer, Record]:
        """One request, recorded however it ends. Without a schedule it was wanted when sent."""
        recorder = self.session.active.recorder
        begin_s = self.session.active.clock.now_s()
        answer = Answer()
        cancelled = True
        recorder.started()
        try:
            self.send(client, request, answer)
            cancelled = False
        finally:
            if scheduled_s is None:
                scheduled_s = begin_s if answer.sent_s is None else answer.sent_s
            record = self.record(answer, name, scheduled_s, cancelled)
            recorder.finished(record, answer.received_bytes)
        return answer, record

    def _open_loop(self) -> None:
        run, options = self.session.active, self.session.options
        if not run.may_dispatch():
            # Users of a worker that was lost, which Locust moved here.
            run.stopping.wait()
            return
        flying, idle = Group(), list[Any]()
        alarm = new_alarm(run.clock, run.stopping)
        # Requests that were given a time and that nothing is recorded of yet.
        due_s: dict[str, float] = {}
        schedule_s = run.share.of(self.session.arrival_offsets())
        try:
            for scheduled_s in schedule_s:
                talk = Talk(run.next_number())
                due_s[talk.name] = scheduled_s
                request = self.build(talk)
                if alarm.wait_until(scheduled_s):
                    break
                if self._may_start(talk, due_s):
                    flying.spawn(self._talk_of_open_loop, idle, request, talk, due_s)
            else:
                # All turns of its conversations belong to it, and the last request is sent.
                flying.join(timeout=None if options.asking.workload.several_turns else _SENDING_S)
                run.stop_offering()
                self.session.schedule_ended(self.environment, after=flying.join)
            flying.join()
        finally:
            flying.kill()
            alarm.close()
            self._record_late(due_s, schedule_s)
            for client in idle:
                client.close()

    def _may_start(self, talk: Talk, due_s: dict[str, float]) -> bool:
        """Whether one more request may be under way; if not, it is recorded as dropped."""
        run = self.session.active
        if self._under_way < run.share.part(self.session.options.max_in_flight):
            self._under_way += 1
            return True
        run.recorder.dropped(self._unsent(talk.name, due_s.pop(talk.name), DROPPED))
        return False

    def _talk_of_open_loop(
        self, idle: list[Any], request: Any, talk: Talk, due_s: dict[str, float]
    ) -> None:
        run = self.session.active
        client = idle.pop() if idle else self.open()
        try:
            while True:
                try:
                    answer, record = self._one(client, request, talk.name, due_s.pop(talk.name))
                finally:
                    self._under_way -= 1
                following = self._following(talk, answer, record)
                if following is None:
                    return
                request, due_s[talk.name] = following
                if run.stopping.wait(max(0.0, due_s[talk.name] - run.clock.now_s())):
                    return
                if not self._may_start(talk, due_s):
                    return
        finally:
            idle.append(client)

    def _record_late(self, due_s: dict[str, float], schedule_s: Iterator[float]) -> None:
        """Record what was due before the load ended and never started: it was offered too."""
        run = self.session.active
        end_s = run.clock.now_s() if run.recorder.end_s is None else run.recorder.end_s
        untaken = ((str(run.next_number()), scheduled_s) for scheduled_s in schedule_s)
        # Only the schedule is without end, and it rises.
        before_end = takewhile(lambda one: one[1] < end_s, untaken)
        for name, scheduled_s in chain(due_s.items(), before_end):
            if scheduled_s < end_s:
                run.recorder.unsent(self._unsent(name, scheduled_s, LATE))

    def _unsent(self, name: str, scheduled_s: float, why: str) -> Record:
        return Record(
            **self._whose(name),
            scheduled_s=scheduled_s,
            status=Status.CANCELLED,
            error=why,
            clock=self.clock,
        )

    def _whose(self, name: str) -> dict[str, Any]:
        share = self.session.active.share
        return {"request_id": share.request_id(name), "worker": share.index}


class StreamingUser(LoadUser):
    """Asks for streamed text, in one of the streaming protocols."""

    abstract = True
    find_target = staticmethod(find_target)

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._way = transport(self.session.options)
        self.clock = self._way.clock
        self._is_content = self._way.protocol.surely_content

    def build(self, talk: Talk) -> Any:
        """The request ready to be sent, with what the user says in this turn."""
        session = self.session
        turn = session.turn(talk)
        if turn is None:
            return None
        if turn.system is not None:
            talk.say("system", turn.system)
        ask = Ask(
            session.target.model,
            turn.prompt,
            turn.output_tokens,
            dialect=session.target.dialect,
            history=tuple(talk.said),
        )
        talk.say("user", turn.prompt)
        return self._way.write(ask, session.active.wire_id(talk.name))

    def open(self) -> Client:
        """A connection that is made with its first request and kept."""
        return self._way.connect(self.session.active.sweeper)

    def send(self, client: Client, request: Any, answer: Answer) -> None:
        """One exchange."""
        client.exchange(request, self._is_content, answer)

    def reply(self, answer: Answer) -> str:
        """The text of the answer, without its reasoning."""
        return whole_characters("".join(map(openai.reply, answer.events)))

    def record(self, answer: Answer, name: str, scheduled_s: float, cancelled: bool) -> Record:
        """What the events of the answer say."""
        return to_record(
            answer,
            self._way.protocol,
            **self._whose(name),
            scheduled_s=scheduled_s,
            cancelled=cancelled,
            count_tokens=self.session.count_tokens,
        )
