"""From what came back to the record of the request. Pure, and run after the answer is complete.

JSON is parsed only for events that matter: the first with content, those that a quick test does
not recognise as content (role-only, usage, errors, the last), and the last with content.
"""

import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from loadtests.errors import StreamError
from loadtests.protocols.contract import Chunk, Protocol
from loadtests.wire import Answer
from measure.records import Record, Status, TokenSource

CountTokens = Callable[[str], int]


@dataclass(slots=True)
class _Reading:
    stamps_s: list[float]
    first: Chunk | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    own_tokens: int = 0
    finished: bool = False
    text: str = ""


def to_record(
    answer: Answer,
    protocol: Protocol,
    *,
    request_id: str,
    worker: int,
    scheduled_s: float,
    cancelled: bool,
    count_tokens: CountTokens | None = None,
) -> Record:
    """The record of one request. `count_tokens` is asked only where the server gave no usage."""
    reading = _Reading([])
    try:
        _read_events(answer, protocol, reading, keep_text=count_tokens is not None)
        failure = None if cancelled else _failure(answer, protocol, reading)
    except StreamError as error:
        failure = error
    output_tokens, first_chunk_tokens, source = _tokens(reading, count_tokens)
    record = plain_record(
        answer, reading.stamps_s, failure,
        request_id=request_id, worker=worker, scheduled_s=scheduled_s, cancelled=cancelled,
    )  # fmt: skip
    return replace(
        record,
        prompt_tokens=reading.prompt_tokens,
        output_tokens=output_tokens,
        first_chunk_tokens=first_chunk_tokens,
        token_source=source,
    )


def plain_record(
    answer: Answer,
    stamps_s: list[float],
    failure: StreamError | None,
    *,
    request_id: str,
    worker: int,
    scheduled_s: float,
    cancelled: bool,
) -> Record:
    """The record of a request whose content arrived at `stamps_s`, no tokens being counted."""
    status, error_text = Status.OK, None
    if failure is not None:
        status, error_text = failure.status, whole_characters(str(failure))
    elif cancelled:
        status, error_text = Status.CANCELLED, "cancelled: the load test ended first"
    return Record(
        request_id=request_id,
        worker=worker,
        scheduled_s=scheduled_s,
        sent_s=answer.sent_s,
        first_content_s=stamps_s[0] if stamps_s else None,
        last_content_s=stamps_s[-1] if stamps_s else None,
        done_s=answer.done_s,
        chunk_s=stamps_s,
        chunks=len(stamps_s),
        status=status,
        http_status=answer.status,
        error=error_text,
        clock=answer.clock,
    )


def _read_events(answer: Answer, protocol: Protocol, reading: _Reading, keep_text: bool) -> None:
    surely_content = protocol.surely_content
    stamps_s = reading.stamps_s
    unread: bytes | None = None
    try:
        for payload, stamp_s in zip(answer.events, answer.stamps_s, strict=True):
            if stamps_s and not keep_text and surely_content(payload):
                stamps_s.append(stamp_s)
                unread = payload
                continue
            chunk = _read(protocol, payload)
            if chunk.error is not None:
                raise StreamError("server_error", chunk.error)
            if not stamps_s:
                # Tokens without content of their own, before the first content or with it.
                reading.own_tokens += chunk.own_tokens or 0
            if chunk.text:
                if not stamps_s:
                    reading.first = chunk
                stamps_s.append(stamp_s)
                reading.text += chunk.text
                unread = None
            _note(reading, chunk)
    finally:
        # Also where an error ended the stream: what had come before it was delivered.
        if unread is not None:
            _note(reading, _read(protocol, unread))


def _read(protocol: Protocol, payload: bytes) -> Chunk:
    try:
        return protocol.read(payload)
    except (
        ValueError, TypeError, AttributeError, KeyError, IndexError, RecursionError
    ) as error:  # fmt: skip
        raise StreamError("bad_event", f"{error} in {payload[:80]!r}") from None


def _note(reading: _Reading, chunk: Chunk) -> None:
    # Counts are cumulative and may be read out of order (the last content after the usage).
    for name in ("prompt_tokens", "output_tokens"):
        value = getattr(chunk, name)
        if value is not None:
            setattr(reading, name, max(value, getattr(reading, name) or 0))
    reading.finished = reading.finished or chunk.finished


def _failure(answer: Answer, protocol: Protocol, reading: _Reading) -> StreamError | None:
    if answer.error is not None:
        return answer.error
    if answer.status not in (200, None):
        # The record's http_status has the number.
        return StreamError(body_message(answer, protocol.error_text), status=Status.HTTP_ERROR)
    if not answer.events:
        return StreamError("not_a_stream", body_message(answer, protocol.error_text))
    if protocol.must_finish and not reading.finished:
        return StreamError("truncated", "the stream ended before the server said it was complete")
    return None


def whole_characters(text: str) -> str:
    """The text with pairs of surrogates joined and lone ones replaced.

    JSON can hold half a character (`"\\ud83d"`), no encoding of the text can: neither a tokenizer
    nor a file takes it.
    """
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def body_message(answer: Answer, error_text: Callable[[Any], str | None]) -> str:
    """What the body of a failed answer says, in at most 300 characters.

    `error_text` finds the message in its JSON.
    """
    text = answer.body.decode("utf-8", "replace").strip()
    with contextlib.suppress(ValueError, RecursionError):
        text = error_text(json.loads(answer.body)) or text
    return " ".join(text.split())[:300] or "(empty body)"


def _tokens(
    reading: _Reading, count_tokens: CountTokens | None
) -> tuple[int | None, int | None, TokenSource]:
    first_chunk = reading.first
    if reading.output_tokens is not None:
        first = first_chunk.output_tokens if first_chunk else None
        if first is None:
            first = reading.own_tokens or None
        return reading.output_tokens, first, TokenSource.USAGE
    if first_chunk is None:
        return None, None, TokenSource.NONE
    if count_tokens is not None:
        first = count_tokens(whole_characters(first_chunk.text))
        return count_tokens(whole_characters(reading.text)), first, TokenSource.TOKENIZER
    return len(reading.stamps_s), 1, TokenSource.CHUNKS
