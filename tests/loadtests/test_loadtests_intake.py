"""From the bytes of a whole HTTP response to its answer: how it was cut into reads changes nothing.

The timing core gives every read to `Intake`; the sockets are in test_loadtests_stream.py.
"""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loadtests.answer import to_record
from loadtests.errors import StreamError
from loadtests.intake import Intake
from loadtests.protocols.openai import COMPLETIONS
from loadtests.wire import Answer

STREAM = "text/event-stream; charset=utf-8"


def event(text, finish="null"):
    return f'{{"choices": [{{"text": "{text}", "finish_reason": {finish}}}]}}'.encode()


def received(pieces, *, closed=False):
    """The answer after these reads, and its record; all of them at one moment."""
    answer = Answer(sent_s=0.25, done_s=1.0)
    intake = Intake(answer, COMPLETIONS.surely_content)
    try:
        for piece in [*filter(None, pieces), *([b""] if closed else [])]:
            if not intake.done:
                intake.take(piece, 0.5)
    except StreamError as error:
        answer.error = error
    intake.note_head()
    record = to_record(
        answer, COMPLETIONS, request_id="0-0", worker=0, scheduled_s=0.0, cancelled=False
    )
    return answer, record


def facts(answer, record):
    # What follows the last byte that counts is not read, whether it came with it or not.
    error = None if answer.error is None else str(answer.error)
    return record, answer.events, answer.body, answer.status, answer.content_type, error


WORDS = st.lists(st.text("ab é日😀", min_size=1, max_size=4), min_size=1, max_size=5)
FRAMINGS = st.sampled_from(["chunked", "length", "close"])


@st.composite
def responses(draw):
    """The bytes of a response of words, written in one of the many ways that are right."""
    end = draw(st.sampled_from([b"\n", b"\r\n"]))
    colon = draw(st.sampled_from([b"data: ", b"data:"]))
    comment = draw(st.sampled_from([b"", b": keep-alive" + end + end, b"event: x" + end]))
    words = draw(WORDS)
    payloads = [*map(event, words), event("", '"stop"'), b"[DONE]"]
    body = b"".join(comment + colon + payload + end + end for payload in payloads)
    if draw(st.booleans()):
        body = body.removesuffix(end)  # the last blank line left out
    framing = draw(FRAMINGS)
    head = [b"HTTP/1.1 200 OK", b"Content-Type: " + STREAM.encode()]
    if draw(st.booleans()):
        head = [b"HTTP/1.1 103 Early Hints", b"", *head]
    if framing == "length":
        head.append(b"Content-Length: %d" % len(body))
    elif framing == "chunked":
        head.append(b"Transfer-Encoding: chunked")
        edges = draw(st.lists(st.integers(1, max(1, len(body) - 1)), max_size=6).map(sorted))
        parts = [body[a:b] for a, b in itertools.pairwise([0, *edges, len(body)])]
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts if part)
        body += b"0\r\n\r\n"
    return b"\r\n".join([*head, b"", b""]) + body, words, framing


def cut(data, places):
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


PLACES = st.lists(st.integers(0, 5000), max_size=40)


@given(responses(), PLACES)
def test_any_split_of_a_response_gives_the_same_events_and_the_same_record(response, places):
    data, words, framing = response
    closed = framing == "close"
    whole = received([data], closed=closed)
    assert facts(*received(cut(data, places), closed=closed)) == facts(*whole)
    assert facts(*received([bytes([byte]) for byte in data], closed=closed)) == facts(*whole)
    answer, record = whole
    assert answer.error is None
    assert answer.events == [*map(event, words), event("", '"stop"'), b"[DONE]"]
    assert (record.status, record.chunks) == ("ok", len(words))
    assert set(record.chunk_s) == {0.5}


@given(responses(), PLACES, st.integers(0, 5000))
def test_any_split_of_a_response_cut_short_gives_the_same_record(response, places, kept):
    data, _, framing = response
    short = data[: kept % len(data)]
    whole = received([short], closed=True)
    assert facts(*received(cut(short, places), closed=True)) == facts(*whole)
    if framing != "close":
        assert whole[0].error is not None
        assert whole[0].error.kind == "disconnected"


MISTAKES = [
    b"zz\r\n",
    b"-1\r\n",
    b"1\r\nabc\r\n",
    b"0" * 3000,
    b"5;" + b"x" * 3000 + b"\r\nhello\r\n",
]


@given(WORDS, st.sampled_from(MISTAKES), PLACES)
@example(["a"], MISTAKES[0], [])
def test_what_came_before_a_mistake_counts_however_it_was_cut(words, mistake, places):
    body = b"".join(b"data: " + event(word) + b"\n\n" for word in words)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    data = head + b"\r\n%x\r\n%s\r\n" % (len(body), body) + mistake
    answer, record = received([data])
    assert answer.error is not None
    assert answer.error.kind == "bad_http"
    assert (record.status, record.chunks) == ("stream_error", len(words))
    in_pieces, pieces_record = received(cut(data, places))
    assert in_pieces.events == answer.events
    assert (pieces_record.status, pieces_record.chunks) == (record.status, record.chunks)


@given(st.binary(max_size=60).filter(lambda body: not body.lstrip().startswith(b"d")), PLACES)
def test_a_body_that_is_no_stream_is_kept_as_it_is(body, places):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    body = b"{" + body
    answer, record = received(cut(head % len(body) + body, places))
    assert (answer.body, answer.events, answer.error) == (body, [], None)
    assert record.error is not None
    assert record.error.startswith("not_a_stream")


@pytest.mark.parametrize("reads", [1, 7])
def test_of_a_long_body_that_is_no_stream_the_start_is_kept(reads):
    body = bytes(range(256)) * 2048
    data = b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    size = len(data) // reads + 1
    answer, record = received([data[at : at + size] for at in range(0, len(data), size)])
    assert answer.body == body[: 256 * 1024]
    assert (record.status, record.http_status) == ("http_error", 500)


def test_a_stream_under_another_content_type_is_known_by_how_it_begins():
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n: hello\n\ndata: one\n\ndata: "
    assert received([data[:40], data[40:41], data[41:]])[0].events == [b"one", b""]


def test_an_encoded_body_is_refused_before_any_of_it_is_read():
    data = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 9\r\n\r\ndata: x\n\n"
    answer, record = received([data])
    assert answer.events == []
    assert record.error is not None
    assert record.error.startswith("content_encoding")
