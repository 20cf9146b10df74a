"""The timing core: one request over one kept connection, every socket read stamped by the kernel.

While a request is answered, only bytes move. The event loop calls `Connection._readable` straight
from its poll (no greenlet switch), which reads once, takes the stamp that came with the data
(`SO_TIMESTAMPING`, software receive, as ancillary data of `recvmsg`), undoes chunked framing,
splits events and appends. What the events say is read after the answer is complete.

An event gets the stamp of the read in which it became complete. Where the kernel does not stamp
(TLS, systems other than Linux) the run's monotonic clock is read after the read, and the answer
says so: its `clock` is KERNEL only if every event was stamped by the kernel.
"""

import contextlib
import errno
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Protocol

import gevent
import gevent.select
from gevent import monkey
from gevent.event import Event

from loadtests.clock import RunClock
from loadtests.errors import StreamError
from loadtests.http1 import ResponseParser
from loadtests.sse import EventSplitter
from loadtests.wire import KERNEL_STAMPS, Answer, Timeouts, split_url, timed_out, usual_clock
from measure.records import Clock

_SO_TIMESTAMPING = 37
_RX_SOFTWARE = 1 << 3
_REPORT_SOFTWARE = 1 << 4
_ANCILLARY_BYTES = 64 + 48
_READ_BYTES = 32 * 1024
_READABLE = 1
_KEPT_BODY_BYTES = 256 * 1024
_SWEEP_S = 0.02
_TIMESPEC = struct.Struct("qq")
_CLOCK_SLACK_S = 0.001

# The socket class under gevent's: its calls return at once instead of yielding to the loop.
_PlainSocket = monkey.get_original("socket", "socket")


class Expiring(Protocol):
    """What the sweeper looks after."""

    def expire(self, now_s: float) -> None:
        """End the request under way if it overran one of its timeouts."""


class Sweeper:
    """Ends requests that overran a timeout: one timer for all of them, none a request.

    It looks every 20 ms, so a timeout is at most that late. It also keeps the run's clock true.
    """

    def __init__(self, clock: RunClock) -> None:
        self.clock = clock
        self.active: set[Expiring] = set()
        self._greenlet = gevent.spawn(self._sweep)

    def _sweep(self) -> None:
        while True:
            gevent.sleep(_SWEEP_S)
            self.clock.resample()
            now_s = self.clock.now_s()
            for connection in list(self.active):
                connection.expire(now_s)

    def close(self) -> None:
        """Stop looking."""
        self._greenlet.kill()


@contextlib.contextmanager
def kernel_stamps_kept_on() -> Iterator[None]:
    """Keep receive stamping on in the kernel: it wakes up lazily with the first socket that asks.

    Without this the first packets of a run could come without a stamp.
    """
    if not KERNEL_STAMPS:
        yield
        return
    with _PlainSocket(socket.AF_INET, socket.SOCK_DGRAM) as guard:
        guard.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _RX_SOFTWARE | _REPORT_SOFTWARE)
        yield


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
        self._tls: ssl.SSLSocket | None = None
        self._watcher: Any = None
        self._recvmsg: Callable[[int, int], Any]
        self._finished = Event()
        self._answer = Answer()
        self._parser = ResponseParser()
        self._splitter: EventSplitter | None = None
        self._is_content: Callable[[bytes], bool] = bool
        self._seen_content = False
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
            if into.error or not self._parser.done or not self._parser.keep_alive:
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
            now_s, self._answer.sent_s, self._last_s, self._seen_content
        )
        if overrun is not None:
            self._end(overrun)

    def _ready(self) -> bool:
        """Make sure there is a live connection; true if it has been used before."""
        if self._tls is not None:
            return True
        if self._socket is not None:
            try:
                stale = self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) is not None
            except BlockingIOError:
                stale = False
            except OSError:
                stale = True
            if not stale:
                return True
            self.close()
        self._connect()
        return False

    def _connect(self) -> None:
        try:
            with gevent.Timeout(self._timeouts.connect_s, TimeoutError("connect")):
                plain = socket.create_connection((self._host, self._port))
                plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._scheme == "https":
                    self._tls = _tls_context().wrap_socket(plain, server_hostname=self._host)
                    return
        except TimeoutError:
            raise timed_out("connect_timeout", "connect", self._timeouts.connect_s) from None
        except ssl.SSLError as error:
            raise StreamError("tls_error", str(error)) from None
        except OSError as error:
            kind = "connect_refused" if error.errno == errno.ECONNREFUSED else "connect_error"
            raise StreamError(
                kind, f"{self._host}:{self._port}: {error.strerror or error}"
            ) from None
        if KERNEL_STAMPS:
            plain.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _RX_SOFTWARE | _REPORT_SOFTWARE)
        self._socket = _PlainSocket(fileno=plain.detach())
        self._socket.setblocking(False)
        self._recvmsg = self._socket.recvmsg
        self._watcher = gevent.get_hub().loop.io(self._socket.fileno(), _READABLE)

    def _attempt(self, request: bytes, is_content: Callable[[bytes], bool], into: Answer) -> None:
        self._answer = into
        self._parser = ResponseParser()
        self._splitter = None
        self._is_content = is_content
        self._seen_content = False
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
            into.status = self._parser.status or None
            into.content_type = self._parser.headers.get("content-type", "")
            into.clock = Clock.KERNEL if self._all_kernel else Clock.USER

    def _send(self, request: bytes) -> None:
        assert self._socket is not None
        view = memoryview(request)
        while view:
            try:
                view = view[self._socket.send(view) :]
            except BlockingIOError:
                with contextlib.suppress(TimeoutError):
                    gevent.select.select([], [self._socket], [], _SWEEP_S)
                if self._finished.is_set():
                    return
            except OSError as error:
                self._end(StreamError("disconnected", f"while sending: {error.strerror}"))
                return

    def _readable(self) -> None:
        """Called by the event loop when there is something to read: the hot path."""
        try:
            data, ancillary, _, _ = self._recvmsg(_READ_BYTES, _ANCILLARY_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._end(StreamError("disconnected", error.strerror or str(error)))
            return
        now_s = self._clock.now_s()
        stamp_s = now_s
        if ancillary:
            wall = _TIMESPEC.unpack_from(ancillary[0][2])
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
        answer = self._answer
        self._last_s = stamp_s
        try:
            if data:
                answer.received_bytes += len(data)
                self._take_body(self._parser.feed(data), stamp_s)
            else:
                self._parser.eof()
                self._parser.keep_alive = False
        except StreamError as error:
            self._end(error)
            return
        if self._parser.done:
            self._flush(stamp_s)
            self._end(None)

    def _take_body(self, body: bytes, stamp_s: float) -> None:
        if not body:
            return
        answer, parser = self._answer, self._parser
        if self._splitter is None:
            if parser.status != 200 or not _is_event_stream(parser, answer.body + body):
                if len(answer.body) < _KEPT_BODY_BYTES:
                    answer.body += body
                return
            self._splitter = EventSplitter()
            body, answer.body = answer.body + body, b""
        for event in self._splitter.feed(body):
            answer.events.append(event)
            answer.stamps_s.append(stamp_s)
            if not self._seen_content:
                self._seen_content = self._is_content(event)

    def _flush(self, stamp_s: float) -> None:
        if self._splitter is not None:
            for event in self._splitter.flush():
                self._answer.events.append(event)
                self._answer.stamps_s.append(stamp_s)

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


@lru_cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()


def _is_event_stream(parser: ResponseParser, start: bytes) -> bool:
    if "text/event-stream" in parser.headers.get("content-type", ""):
        return True
    return start.lstrip().startswith((b"data:", b"event:", b": ", b":\n"))


def _raced(answer: Answer) -> bool:
    error = answer.error
    return error is not None and error.kind == "disconnected" and not answer.received_bytes
