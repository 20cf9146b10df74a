"""From the reads of one response to its answer. Pure: bytes and times in, events out.

It is the half of the hot path that knows no socket: undo the framing, split events, append. Not
how the bytes came in reads decides what comes out, only the times do.
"""

from collections.abc import Callable

from loadtests.http1 import ResponseParser
from loadtests.sse import EventSplitter
from loadtests.wire import Answer

_KEPT_BODY_BYTES = 256 * 1024


class Intake:
    """Fills the answer of one request.

    `done` is true when the response is whole, `keep_alive` then says whether the connection may
    carry another; `seen_content` when an event was content, by `is_content`, which is asked no
    more after its first yes.
    """

    def __init__(self, into: Answer, is_content: Callable[[bytes], bool]) -> None:
        self.done = False
        self.seen_content = False
        self._answer = into
        self._is_content = is_content
        self._parser = ResponseParser()
        self._splitter: EventSplitter | None = None

    @property
    def keep_alive(self) -> bool:
        """Whether the connection may carry another request."""
        return self._parser.keep_alive

    def take(self, data: bytes, stamp_s: float) -> None:
        """Take what one read returned; nothing means that the server closed.

        Raises:
            StreamError: the response is broken off, malformed or encoded; take no more then.
        """
        if not data:
            self._parser.eof()
            self._parser.keep_alive = False
            self._finish(stamp_s)
            return
        answer = self._answer
        answer.received_bytes += len(data)
        body = self._parser.feed(data)
        if body:
            if self._splitter is None:
                body = self._begin_of_body(body)
            if self._splitter is not None:
                for event in self._splitter.feed(body):
                    answer.events.append(event)
                    answer.stamps_s.append(stamp_s)
                    if not self.seen_content:
                        self.seen_content = self._is_content(event)
        if self._parser.done:
            self._finish(stamp_s)
        elif self._parser.mistake is not None:
            raise self._parser.mistake

    def note_head(self) -> None:
        """Put into the answer what the head of the response said, if it came."""
        self._answer.status = self._parser.status or None
        self._answer.content_type = self._parser.headers.get("content-type", "")

    def _begin_of_body(self, body: bytes) -> bytes:
        """What an event stream begins with; of any other body the start is kept instead."""
        answer, parser = self._answer, self._parser
        whole = answer.body + body
        if parser.status == 200 and _is_event_stream(parser, whole):
            self._splitter = EventSplitter()
            answer.body = b""
            return whole
        answer.body = whole[:_KEPT_BODY_BYTES]
        return b""

    def _finish(self, stamp_s: float) -> None:
        if self._splitter is not None:
            for event in self._splitter.flush():
                self._answer.events.append(event)
                self._answer.stamps_s.append(stamp_s)
        self.done = True


def _is_event_stream(parser: ResponseParser, start: bytes) -> bool:
    if "text/event-stream" in parser.headers.get("content-type", ""):
        return True
    return start.lstrip().startswith((b"data:", b"event:", b": ", b":\n"))
