"""The loop: one thread, one heap of what is due, one epoll. Nothing waits for anything else.

A chunk's way is short so that tens of thousands a second fit into part of a core: its bytes were
made ahead, its time is read just before its send, both are kept, the next one's due time goes into
the heap. Due times count from a request's arrival and not from the chunk before, so that lateness
does not add up.
"""

from __future__ import annotations

import gc
import json
import select
from heapq import heappop, heappush, heapreplace
from math import inf
from time import sleep, time

from servers.reference import frames, plan
from servers.reference.asks import Ask, Refused, is_generation, read_ask
from servers.reference.connection import Connection, listen
from servers.reference.documents import DOCUMENTS
from servers.reference.http_in import BadRequest, Request, read_request
from servers.reference.knobs import AT_ONCE
from servers.reference.metrics import Counters
from servers.reference.plan import Plan, Settings
from servers.reference.stream import Stream
from servers.reference.truth import Sent, Truth

# So many connections are accepted or read before it is time for chunks that are due again.
_EVENTS_A_TURN = 32
# Waking up for each chunk on its own would cost more than sending it.
_SHORTEST_WAIT_S = 100e-6
_LONGEST_WAIT_S = 1.0


class Server:
    """Listens from the start; `serve` answers until the process is ended."""

    def __init__(self, host: str, port: int, settings: Settings) -> None:
        """Raises `OSError` if the address cannot be had."""
        self._settings = settings
        self._listener = listen(host, port)
        self.port = int(self._listener.getsockname()[1])
        self._epoll = select.epoll()
        self._epoll.register(self._listener.fileno(), select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        # (due, a number that nothing else has, the answer): the earliest first.
        self._due: list[tuple[float, int, Stream]] = []
        self._entries = 0
        self._truth = Truth()
        self._counters = Counters()
        self._restart()

    def serve(self) -> None:
        """Answer for ever. What ends it is an exception, such as a signal handler's."""
        # Nothing here is left to the collector; its pauses would be the answers' lateness.
        gc.collect()
        gc.freeze()
        gc.disable()
        fileno = self._epoll.fileno()
        while True:
            now_s = time()
            if now_s >= self._stall_at_s:
                self._stall(now_s)
                now_s = time()
            due = self._due
            if due and due[0][0] <= now_s:
                self._send_due(now_s)
            next_s = min(due[0][0] if due else inf, self._stall_at_s)
            wait_s = min(max(next_s - time(), _SHORTEST_WAIT_S), _LONGEST_WAIT_S)
            # epoll's own timeout is in whole milliseconds; select() waits to the microsecond.
            if select.select([fileno], [], [], wait_s)[0]:
                self._take_events()

    def _restart(self) -> None:
        """Count requests from 0 again: the same ones get the same times."""
        self._requests = 0
        self._stall_at_s = inf
        self._stalled_until_s = 0.0

    def _stall(self, now_s: float) -> None:
        """Stand still, then go on where we were: everything is due that much later."""
        for_s = self._settings.stall_for_s
        self._stall_at_s = inf
        sleep(for_s)
        self._stalled_until_s = now_s + for_s
        for _, _, stream in self._due:
            stream.base_s += for_s
        # All alike later: the heap's order stays as it is.
        self._due = [(due_s + for_s, number, stream) for due_s, number, stream in self._due]

    def _send_due(self, now_s: float) -> None:
        """Send what is due by `now_s`: the hot path."""
        due = self._due
        while due and due[0][0] <= now_s:
            due_s, number, stream = due[0]
            at = stream.at
            if stream.ended or at == stream.chunks:
                heappop(due)
                if not stream.ended:
                    self._fail(stream)
                continue
            stream.at = following = at + 1
            last = following == stream.chunks and stream.outcome == plan.OK
            frame = stream.wire.last if last else stream.wire.frames[at]
            sent = stream.sent
            sent_s = time()
            try:
                stream.connection.send(frame)
            except OSError:
                heappop(due)
                self._leave(stream.connection)
                continue
            sent.sent_s.append(sent_s)
            sent.late_s.append(sent_s - due_s)
            if last:
                heappop(due)
                self._finish(stream)
            else:
                heapreplace(due, (stream.base_s + stream.offsets_s[following], number, stream))

    def _fail(self, stream: Stream) -> None:
        """The planned failure in the middle of a stream."""
        connection = stream.connection
        if stream.outcome == plan.STREAM_ERROR:
            self._send(connection, stream.wire.error)
        self._end(stream)
        if stream.outcome == plan.DISCONNECT:
            self._close(connection)
        else:
            self._free(stream)

    def _finish(self, stream: Stream) -> None:
        if stream.wire.tail:
            self._send(stream.connection, stream.wire.tail)
        self._end(stream)
        self._free(stream)

    def _end(self, stream: Stream) -> None:
        """Close the books on an answer."""
        if stream.ended:
            return
        stream.ended = True
        sent, counters = stream.sent, self._counters
        per_chunk = self._settings.tokens_per_chunk
        whole = stream.at == stream.chunks and stream.outcome == plan.OK
        sent.tokens = stream.tokens if whole else stream.at * per_chunk
        sent.outcome = stream.outcome
        counters.running -= 1
        counters.outcomes[stream.outcome] += 1
        counters.output_tokens += sent.tokens
        if sent.sent_s:
            counters.ttft.add(sent.sent_s[0] - sent.received_s)
            counters.e2e.add(sent.sent_s[-1] - sent.received_s)
        self._truth.finished(sent)

    def _free(self, stream: Stream) -> None:
        """The connection may carry another request."""
        connection = stream.connection
        connection.stream = None
        if not stream.keep_alive:
            connection.closing = True
        if connection.closing and connection.flushed:
            self._close(connection)
        elif connection.buffer:
            self._read(connection)

    def _take_events(self) -> None:
        for fileno, event in self._epoll.poll(0, _EVENTS_A_TURN):
            if fileno == self._listener.fileno():
                self._accept()
                continue
            connection = self._connections.get(fileno)
            if connection is None:
                continue
            alive = True
            if event & select.EPOLLOUT:
                alive = connection.flush()
                if connection.closing and connection.flushed:
                    alive = False
            if alive and event & ~select.EPOLLOUT:
                alive = connection.receive()
            if not alive:
                self._leave(connection)
            elif connection.stream is None and connection.buffer:
                self._read(connection)

    def _accept(self) -> None:
        for _ in range(_EVENTS_A_TURN):
            try:
                plain, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                # Out of files, most likely: those who wait are served when others leave.
                print(f"cannot accept a connection: {error}", flush=True)
                sleep(0.01)
                return
            plain.setblocking(False)
            connection = Connection(plain, self._epoll, self._count_blocked)
            self._connections[connection.fileno] = connection
            self._epoll.register(connection.fileno, select.EPOLLIN)

    def _count_blocked(self) -> None:
        self._truth.blocked += 1

    def _read(self, connection: Connection) -> None:
        """Answer the requests that have come in whole, one after another."""
        while connection.stream is None and connection.buffer and not connection.closing:
            try:
                request = read_request(connection.buffer)
            except BadRequest as error:
                document = frames.error_document(error.status, str(error))
                connection.closing = True
                self._document(connection, document, error.status)
                return
            if request is None:
                return
            del connection.buffer[: request.size]
            if request.method == "POST" and is_generation(request.path):
                self._begin(connection, request)
            else:
                connection.closing = not request.keep_alive
                self._answer(connection, request)

    def _begin(self, connection: Connection, request: Request) -> None:
        """Draw an answer and put its first chunk into the heap."""
        settings = self._settings
        connection.closing = not request.keep_alive
        try:
            ask = read_ask(request.path, request.body)
        except Refused as refusal:
            document = frames.error_document(refusal.status, str(refusal))
            self._document(connection, document, refusal.status)
            return
        if not self._requests and settings.stall_for_s:
            self._stall_at_s = time() + settings.stall_after_s
        answer = plan.plan(settings, self._requests, ask.tokens)
        self._requests += 1
        sent = Sent(
            request.headers.get("x-request-id", ""),
            connection.received_s,
            connection.kernel_stamp,
            plan.RUNNING,
        )
        self._truth.begin(sent)
        self._counters.prompt_tokens += ask.prompt_tokens
        if answer.outcome == plan.HTTP_ERROR:
            sent.outcome = answer.outcome
            self._counters.outcomes[answer.outcome] += 1
            self._truth.finished(sent)
            self._document(connection, frames.error_document(503, frames.ERROR), 503)
            return
        if not ask.stream:
            # One chunk with all of it, when the last one would have been due.
            chunks = 1 if answer.outcome == plan.OK else 0
            answer = Plan(answer.outcome, chunks, answer.offsets_s[-1:])
        self._start(connection, request, ask, answer, sent)

    def _start(
        self, connection: Connection, request: Request, ask: Ask, answer: Plan, sent: Sent
    ) -> None:
        settings = self._settings
        wire = frames.wire(
            ask,
            settings.tokens_per_chunk,
            answer.chunks,
            role_at_once=settings.role_chunk == AT_ONCE,
        )
        base_s = max(sent.received_s, self._stalled_until_s)
        stream = Stream(connection, ask, answer, wire, sent, base_s, request.keep_alive)
        connection.stream = stream
        self._counters.running += 1
        self._entries += 1
        heappush(self._due, (base_s + answer.offsets_s[0], self._entries, stream))
        if wire.head:
            self._send(connection, wire.head)

    def _answer(self, connection: Connection, request: Request) -> None:
        """Everything that is no generation."""
        route = request.method, request.path
        if route == ("GET", "/truth"):
            truth = self._truth.encode()
            self._send(connection, frames.response(200, truth, "application/octet-stream"))
        elif route == ("POST", "/truth/reset"):
            self._truth.reset()
            self._restart()
            self._document(connection, {})
        elif route == ("GET", "/metrics"):
            body = self._counters.exposition()
            content_type = "text/plain; version=0.0.4; charset=utf-8"
            self._send(connection, frames.response(200, body, content_type))
        elif route in DOCUMENTS:
            self._document(connection, DOCUMENTS[route])
        else:
            message = f"there is no {request.method} {request.path} here"
            self._document(connection, frames.error_document(404, message), 404)
        if connection.closing and connection.flushed:
            self._close(connection)

    def _document(self, connection: Connection, document: object, status: int = 200) -> None:
        self._send(connection, frames.response(status, json.dumps(document).encode()))
        if connection.closing and connection.flushed:
            self._close(connection)

    def _send(self, connection: Connection, data: bytes) -> None:
        """Send something that is no chunk. That the client is gone is seen at its next event."""
        try:
            connection.send(data)
        except OSError:
            return

    def _leave(self, connection: Connection) -> None:
        """The client is gone, with or without an answer under way."""
        stream = connection.stream
        if stream is not None and not stream.ended:
            stream.outcome = plan.CLIENT_LEFT
            self._end(stream)
        self._close(connection)

    def _close(self, connection: Connection) -> None:
        if self._connections.get(connection.fileno) is connection:
            del self._connections[connection.fileno]
            connection.stream = None
            connection.close()
