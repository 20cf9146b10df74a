"""Streams of one KServe server over gRPC: the counterpart of `stream.py`, by the user's clock.

Messages and methods are tritonclient's. Its `start_stream` is not used: an error that comes back
through it has lost the id of its request, and here what a response says is read after the answer
is complete, as over HTTP. Either way nearly all the cost is gRPC's own: 0.28 ms of this process's
CPU a response (16 streams on 2 cores beside a tritonserver), some two and a half times of HTTP.

gRPC reads its own sockets, so the kernel cannot stamp for us, and a busy client is late: the
records say `user`. Under gevent it must be told to drive its loop through gevent's.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import gevent
from gevent.event import Event
from gevent.queue import SimpleQueue

from loadtests.errors import StreamError
from loadtests.infer import unavailable
from loadtests.protocols import kserve_grpc
from loadtests.protocols.kserve_grpc import Request, Tensor
from loadtests.sweeper import Sweeper
from loadtests.wire import Answer, Timeouts, address
from measure.records import Clock, Status

_METHOD = "/inference.GRPCInferenceService/ModelStreamInfer"
_OPTIONS = (
    # A connection for each user, as over HTTP: else gRPC puts all of them on one.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
    ("grpc.max_receive_message_length", -1),
)


@functools.cache
def _grpc() -> Any:
    from grpc.experimental.gevent import init_gevent  # type: ignore[import-untyped]

    init_gevent()
    import grpc  # type: ignore[import-untyped]

    return grpc


@functools.cache
def inputs_of(host: str, model: str, timeout_s: float) -> dict[str, Tensor]:
    """The inputs that the model declares, asked once. Raises `StreamError`."""
    channel = _channel(host)
    try:
        pb = kserve_grpc.messages()
        answer = _unary(channel, "ModelMetadata", pb.ModelMetadataRequest(name=model), timeout_s)
        return {one.name: Tensor(one.datatype, len(one.shape)) for one in answer.inputs}
    finally:
        channel.close()


class GrpcStream:
    """One stream on a connection of its own, kept, and used by one request at a time.

    A stream is given up with whatever spoiled it (an error, a timeout, a killed greenlet), which
    tells the server to drop the request; the next request opens another.
    """

    def __init__(self, host: str, sweeper: Sweeper, timeouts: Timeouts) -> None:
        self._host = host
        self._sweeper = sweeper
        self._clock = sweeper.clock
        self._timeouts = timeouts
        self._channel: Any = None
        self._call: Any = None
        self._outbox: SimpleQueue = SimpleQueue()
        self._finished = Event()
        self._answer = Answer()
        self._id = ""
        self._is_content: Callable[[bytes], bool] = bool
        self._seen_content = False
        self._last_s = 0.0

    def exchange(self, request: Request, is_content: Callable[[bytes], bool], into: Answer) -> None:
        """Send the request and fill `into` until its end, whatever that is; raises nothing.

        As `Connection.exchange`; `events` are serialised responses.
        """
        into.clock = Clock.USER
        complete = False
        try:
            self._ready()
            self._answer, self._id = into, request.id
            self._is_content, self._seen_content = is_content, False
            self._finished.clear()
            into.sent_s = self._last_s = self._clock.now_s()
            self._sweeper.active.add(self)
            self._outbox.put(request.message)
            self._finished.wait()
            complete = into.error is None
        except StreamError as error:
            into.error = error
        finally:
            self._sweeper.active.discard(self)
            if into.done_s is None:
                into.done_s = self._clock.now_s()
            if not complete:
                self.close()

    def close(self) -> None:
        """Cancel what is under way and close the connection, if there is one."""
        self._id = ""
        if self._call is not None:
            self._call.cancel()
            self._outbox.put(None)
            self._call = None
        if self._channel is not None:
            self._channel.close()
            self._channel = None

    def expire(self, now_s: float) -> None:
        """End the request under way if it overran one of its timeouts."""
        overrun = self._timeouts.overrun(
            now_s, self._answer.sent_s, self._last_s, self._seen_content
        )
        if overrun is not None:
            self._end(overrun)

    def _ready(self) -> None:
        if self._call is not None and self._call.is_active():
            return
        self.close()
        self._channel = _channel(self._host)
        pb = kserve_grpc.messages()
        # Connects, and fails at once where nobody listens.
        _unary(self._channel, "ServerLive", pb.ServerLiveRequest(), self._timeouts.connect_s)
        self._outbox = SimpleQueue()
        self._call = self._channel.stream_stream(_METHOD, None, None)(iter(self._outbox.get, None))
        gevent.spawn(self._read, self._call)

    def _read(self, call: Iterator[bytes]) -> None:
        error = StreamError("disconnected", "the server ended the stream")
        try:
            for payload in call:
                self._take(payload, self._clock.now_s())
        except _grpc().RpcError as failure:
            error = _translated(failure)
        if call is self._call and self._id:
            self._end(error)

    def _take(self, payload: bytes, now_s: float) -> None:
        try:
            message = kserve_grpc.parse(payload)
        except ValueError as error:
            self._end(StreamError("bad_event", str(error)))
            return
        if message.infer_response.id not in (self._id, "") or not self._id:
            return
        answer = self._answer
        self._last_s = now_s
        answer.received_bytes += len(payload)
        answer.events.append(payload)
        answer.stamps_s.append(now_s)
        if not self._seen_content:
            self._seen_content = self._is_content(payload)
        if message.error_message or kserve_grpc.is_final(message):
            self._end(None)

    def _end(self, error: StreamError | None) -> None:
        if self._finished.is_set():
            return
        self._id = ""
        self._answer.error = error
        self._answer.done_s = self._last_s if error is None else self._clock.now_s()
        self._finished.set()


def _channel(host: str) -> Any:
    return _grpc().insecure_channel(address(host), options=_OPTIONS)


def _unary(channel: Any, method: str, message: Any, timeout_s: float) -> Any:
    from tritonclient.grpc import service_pb2_grpc

    call = getattr(service_pb2_grpc.GRPCInferenceServiceStub(channel), method)
    try:
        return call(message, timeout=timeout_s)
    except _grpc().RpcError as error:
        raise _translated(error) from None


def _translated(error: Any) -> StreamError:
    """A status of gRPC as an error of the load test."""
    code = error.code().name
    details = " ".join((error.details() or "").split())[:300]
    if code == "UNAVAILABLE":
        return StreamError(unavailable(details), details)
    if code == "DEADLINE_EXCEEDED":
        return StreamError("connect_timeout", details, Status.TIMEOUT)
    return StreamError("grpc_error", f"{code}: {details}")
