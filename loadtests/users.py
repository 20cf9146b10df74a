"""Locust users that send one measured request after another, or dispatch an open loop.

A scenario file subclasses `StreamingUser`, which is all it needs: closed loop is Locust's own
(-u users, each waiting for its answer), open loop is one Locust user that dispatches every
request at the time its arrival process wanted it.
"""

from collections.abc import Iterator
from itertools import chain
from typing import Any, ClassVar

from gevent.pool import Group
from locust import User, task
from locust.exception import StopUser

from loadtests.alarm import new_alarm
from loadtests.answer import plain_record, to_record
from loadtests.options import Options
from loadtests.preflight import find_target
from loadtests.protocols.contract import Ask, Target
from loadtests.session import Session
from loadtests.transport import Client, transport
from loadtests.wire import CONNECT_RETRY_S, Answer
from measure.records import Clock, Record, Status

DROPPED = "max_in_flight: as many requests were under way as --max-in-flight allows"
LATE = "late_client: the load ended before the client got to start it at its scheduled time"

_NOT_CONNECTED = ("connect_refused", "connect_error", "connect_timeout", "tls_error")


class LoadUser(User):
    """What every scenario shares: numbering, recording, closed and open loop.

    A subclass says how to `build` request number n ahead of its time, how to `open` a client,
    how to `send` (fills the answer, raises nothing), and what the `record` of an answer is.

    A user of a closed loop that could not connect waits `CONNECT_RETRY_S` before its next
    request; after any other end it goes on at once. An open loop records every arrival that its
    schedule had before the load ended, also those that the client was too late to start.
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

    def build(self, number: int) -> Any:
        """Request number `number`, ready to be sent."""
        raise NotImplementedError

    def open(self) -> Any:
        """A client for one request at a time, with a `close()`."""
        raise NotImplementedError

    def send(self, client: Any, request: Any, answer: Answer) -> None:
        """Send one request and wait for the end of its answer."""
        raise NotImplementedError

    def record(self, answer: Answer, number: int, scheduled_s: float, cancelled: bool) -> Record:
        """The record of an answer without tokens; a protocol that counts them says more."""
        return plain_record(
            answer,
            answer.stamps_s,
            answer.error,
            **self._whose(number),
            scheduled_s=scheduled_s,
            cancelled=cancelled,
        )

    def on_start(self) -> None:
        """Locust: the user starts."""
        self._client: Any = None

    def on_stop(self) -> None:
        """Locust: the user ends."""
        if self._client is not None:
            self._client.close()

    @task
    def load(self) -> None:
        """One request of a closed loop, or the whole of an open one."""
        if self.session.options.arrival is None:
            self._next_of_closed_loop()
        else:
            self._open_loop()
            raise StopUser

    def _next_of_closed_loop(self) -> None:
        run = self.session.active
        number = run.next_number()
        request = self.build(number)
        if self._client is None:
            self._client = self.open()
        answer = self._one(self._client, request, number)
        if answer.error is not None and answer.error.kind in _NOT_CONNECTED:
            run.stopping.wait(CONNECT_RETRY_S)

    def _one(
        self, client: Any, request: Any, number: int, scheduled_s: float | None = None
    ) -> Answer:
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
            record = self.record(answer, number, scheduled_s, cancelled)
            recorder.finished(record, answer.received_bytes)
        return answer

    def _open_loop(self) -> None:
        run, options = self.session.active, self.session.options
        offsets_s = run.share.of(self.session.arrival_offsets())
        flying, idle = Group(), list[Any]()
        alarm = new_alarm(run.clock, run.stopping)
        # Arrivals taken from the schedule that nothing is recorded of yet.
        due_s: dict[int, float] = {}
        begin_s = run.clock.now_s()
        schedule_s = (begin_s + offset_s for offset_s in offsets_s)
        try:
            for scheduled_s in schedule_s:
                number = run.next_number()
                due_s[number] = scheduled_s
                request = self.build(number)
                if alarm.wait_until(scheduled_s):
                    break
                if len(flying) >= options.max_in_flight:
                    run.recorder.dropped(self._unsent(number, due_s.pop(number), DROPPED))
                else:
                    flying.spawn(self._one_of_open_loop, idle, request, number, due_s)
            flying.join()
        finally:
            flying.kill()
            alarm.close()
            self._record_late(due_s, schedule_s)
            for client in idle:
                client.close()

    def _one_of_open_loop(
        self, idle: list[Any], request: Any, number: int, due_s: dict[int, float]
    ) -> None:
        client = idle.pop() if idle else self.open()
        try:
            self._one(client, request, number, due_s.pop(number))
        finally:
            idle.append(client)

    def _record_late(self, due_s: dict[int, float], schedule_s: Iterator[float]) -> None:
        """Record what was due before the load ended and never started: it was offered too."""
        run = self.session.active
        end_s = run.clock.now_s() if run.recorder.end_s is None else run.recorder.end_s
        untaken = ((run.next_number(), scheduled_s) for scheduled_s in schedule_s)
        for number, scheduled_s in chain(due_s.items(), untaken):
            if scheduled_s >= end_s:
                return
            run.recorder.unsent(self._unsent(number, scheduled_s, LATE))

    def _unsent(self, number: int, scheduled_s: float, why: str) -> Record:
        return Record(
            **self._whose(number),
            scheduled_s=scheduled_s,
            status=Status.CANCELLED,
            error=why,
            clock=self.clock,
        )

    def _whose(self, number: int) -> dict[str, Any]:
        share = self.session.active.share
        return {"request_id": share.request_id(number), "worker": share.index}


class StreamingUser(LoadUser):
    """Asks for streamed text, in one of the streaming protocols."""

    abstract = True
    find_target = staticmethod(find_target)

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self._way = transport(self.session.options)
        self.clock = self._way.clock
        self._is_content = self._way.protocol.surely_content

    def build(self, number: int) -> Any:
        """The request ready to be sent, with prompt `number`."""
        session = self.session
        ask = Ask(
            session.target.model,
            session.prompts.prompt(number),
            session.options.output_tokens,
            dialect=session.target.dialect,
        )
        return self._way.write(ask, session.active.wire_id(number))

    def open(self) -> Client:
        """A connection that is made with its first request and kept."""
        return self._way.connect(self.session.active.sweeper)

    def send(self, client: Client, request: Any, answer: Answer) -> None:
        """One exchange."""
        client.exchange(request, self._is_content, answer)

    def record(self, answer: Answer, number: int, scheduled_s: float, cancelled: bool) -> Record:
        """What the events of the answer say."""
        return to_record(
            answer,
            self._way.protocol,
            **self._whose(number),
            scheduled_s=scheduled_s,
            cancelled=cancelled,
            count_tokens=self.session.count_tokens,
        )
