"""The timing core: one request over one kept connection, every socket read stamped by the kernel.

While a request is answered, only bytes move. The event loop calls `Connection._readable` straight
from its poll (no greenlet switch), which reads once, takes the stamp that came with the data, and
gives both to `Intake.take`, which undoes the framing and splits events. What the events say is
read after the answer is complete.

An event gets the stamp of the read in which it became complete. Where the kernel does not stamp
(TLS, systems other than Linux) the run's monotonic clock is read after the read, and the answer
says so: its `clock` is KERNEL only if every event was stamped by the kernel.
"""

import contextlib
import socket
from collections.abc import Callable
from typing import Any

import gevent
import gevent.select
from gevent.event import Event

from loadtests.dial import ANCILLARY_BYTES, TIMESPEC, dial, is_stale, stamped
from loadtests.errors import StreamError
from loadtests.intake import Intake
from loadtests.sweeper import SWEEP_S, Sweeper
from loadtests.wire import Answer, Timeouts, split_url, usual_clock
from measure.records import Clock

_READ_BYTES = 32 * 1024
_READABLE = 1
_CLOCK_SLACK_S = 0.001


class Connection:
    """One keep-alive connection to one server, used by one request at a time.

    A kept connection that the server closed meanwhile is replaced. If the server closes it just
    as the request is sent, so that not a single byte comes back, the request is sent once more on
    a fresh one and its clock starts again: a race of keep-alive, not an answer. (A server that
    took the first try all the same has seen one request more.) Anything else is the request's own
    error.
    """

    def __init__(self, url: str, sweeper: Sweeper, timeouts: Timeouts) -> None:
        self._scheme, self._host, self._port, _ = split_url(url)
        self._clock_kind = usual_clock(url)
        self._sweeper = sweeper
        self._clock = sweeper.clock
        self._timeouts = timeouts
        self._socket: socket.socket | None = None
        self._tls: socket.socket | None = None
        self._watcher: Any = None
        self._recvmsg: Callable[[int, int], Any]
        self._finished = Event()
        self._answer = Answer()
        self._intake = Intake(self._answer, bool)
        self._all_kernel = True
        self._last_s = 0.0

    def exchange(self, request: bytes, is_content: Callable[[bytes], bool], into: Answer) -> None:
        """Send the request and fill `into` until its end, whatever that is; raises nothing.

        `is_content` says of an event's payload whether it ends the wait for the first token; it
        is asked no more after the first yes. A greenlet killed meanwhile leaves `into` with what
        had arrived.
        """
        into.clock = self._clock_kind
        try:
            reused = self._ready()
            self._attempt(request, is_content, into)
            if reused and _raced(into):
                self.close()
                into.error = None
                self._ready()
                self._attempt(request, is_content, into)
        except StreamError as error:
            into.error = error
        finally:
            if into.done_s is None:
                into.done_s = self._clock.now_s()
            if into.error or not self._intake.done or not self._intake.keep_alive:
                self.close()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
        for open_socket in (self._socket, self._tls):
            if open_socket is not None:
                open_socket.close()
        self._socket = self._tls = None

    def expire(self, now_s: float) -> None:
        """End the request under way if it overran one of its timeouts."""
        overrun = self._timeouts.overrun(
            now_s, self._answer.sent_s, self._last_s, self._intake.seen_content
        )
        if overrun is not None:
            self._end(overrun)

    def _ready(self) -> bool:
        """Make sure there is a live connection; true if it has been used before."""
        if self._tls is not None:
            return True
        if self._socket is not None:
            if not is_stale(self._socket):
                return True
            self.close()
        self._connect()
        return False

    def _connect(self) -> None:
        connected = dial(self._scheme, self._host, self._port, self._timeouts.connect_s)
        if self._scheme == "https":
            self._tls = connected
            return
        self._socket = stamped(connected)
        self._recvmsg = self._socket.recvmsg
        self._watcher = gevent.get_hub().loop.io(self._socket.fileno(), _READABLE)

    def _attempt(self, request: bytes, is_content: Callable[[bytes], bool], into: Answer) -> None:
        self._answer = into
        self._intake = Intake(into, is_content)
        self._all_kernel = self._clock_kind is Clock.KERNEL
        self._finished.clear()
        into.sent_s = self._last_s = self._clock.now_s()
        self._sweeper.active.add(self)
        try:
            if self._tls is not None:
                self._read_tls(request)
            else:
                self._send(request)
                if not self._finished.is_set():
                    self._watcher.start(self._readable)
                    self._finished.wait()
        finally:
            self._sweeper.active.discard(self)
            if self._watcher is not None:
                self._watcher.stop()
            self._intake.note_head()
            into.clock = Clock.KERNEL if self._all_kernel else Clock.USER

    def _send(self, request: bytes) -> None:
        assert self._socket is not None
        view = memoryview(request)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                with contextlib.suppress(TimeoutError):
                    gevent.select.select([], [self._socket], [], SWEEP_S)
                if self._finished.is_set():
                    return
            except OSError as error:
                self._end(StreamError("disconnected", f"while sending: {error.strerror}"))
                return

    def _readable(self) -> None:
        """Called by the event loop when there is something to read: the hot path."""
        try:
            data, ancillary, _, _ = self._recvmsg(_READ_BYTES, ANCILLARY_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(StreamError("disconnected", error.strerror or str(error)))
            return
        now_s = self._clock.now_s()
        stamp_s = now_s
        if ancillary:
            wall = TIMESPEC.unpack_from(ancillary[0][2])
            stamp_s = self._clock.from_wall_s(*wall)
            # Outside what is possible: the wall clock was stepped between two samples.
            if not self._last_s - _CLOCK_SLACK_S <= stamp_s <= now_s + _CLOCK_SLACK_S:
                self._clock.resample()
                stamp_s = now_s
                self._all_kernel = False
        elif data:
            self._all_kernel = False
        self._take(data, stamp_s)

    def _take(self, data: bytes, stamp_s: float) -> None:
        self._last_s = stamp_s
        try:
            self._intake.take(data, stamp_s)
        except StreamError as error:
            self._end(error)
            return
        if self._intake.done:
            self._end(None)

    def _end(self, error: StreamError | None) -> None:
        if self._finished.is_set():
            return
        self._answer.error = error
        self._answer.done_s = self._last_s if error is None else self._clock.now_s()
        if self._watcher is not None:
            self._watcher.stop()
        self._finished.set()

    def _read_tls(self, request: bytes) -> None:
        """The same over TLS, where the kernel cannot stamp: a greenlet reads, user clock."""
        reader = gevent.spawn(self._tls_loop, request)
        try:
            self._finished.wait()
        finally:
            reader.kill()

    def _tls_loop(self, request: bytes) -> None:
        assert self._tls is not None
        try:
            self._tls.sendall(request)
            while not self._finished.is_set():
                data = self._tls.recv(_READ_BYTES)
                self._take(data, self._clock.now_s())
        except OSError as error:
            self._end(StreamError("disconnected", str(error)))


def _raced(answer: Answer) -> bool:
    error = answer.error
    return error is not None and error.kind == "disconnected" and not answer.received_bytes
