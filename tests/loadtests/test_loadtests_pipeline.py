"""A whole answer from its bytes to its record, in every protocol: HTTP, events, meaning.

However the bytes are cut and however the server writes its lines, the record is the same; and
whatever a server sends, what comes out is a record or a `StreamError`.
"""

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.answer import to_record
from loadtests.errors import StreamError
from loadtests.http1 import ResponseParser
from loadtests.protocols import STREAMING
from loadtests.protocols.kserve_grpc import KSERVE_GRPC, messages
from loadtests.sse import EventSplitter
from loadtests.wire import Answer
from measure.records import Status, TokenSource

# Text that has misled clients: what looks like JSON or like an event, what is cut in the middle
# of a character, what is no character at all.
TEXT = st.one_of(
    st.text(max_size=6),
    st.sampled_from([
        '"content": "x"', "data: y\n\n", "\r\n", "[DONE]", "é日本😀", "\ud83d", '{"error": "no"}', "\\",
        '"token":{"id":1,"text":"x","logprob":0,"special":false}', '"text_output": "a',
    ]),
)  # fmt: skip
WORDS = st.lists(TEXT, min_size=1, max_size=6)


def openai_stream(words, key):
    def event(text, finish=None):
        content = {"text": text} if key == "text" else {"delta": {key: text}}
        return {"choices": [{"index": 0, **content, "finish_reason": finish}]}

    usage = {"prompt_tokens": 7, "completion_tokens": len(words)}
    ending = [event("", "length"), {"choices": [], "usage": usage}, "[DONE]"]
    return [event("") if key != "text" else event("x"), *map(event, words), *ending]


def tgi_stream(words):
    def frame(index, text, whole=None):
        token = {"id": index, "text": text, "logprob": -0.5, "special": False}
        details = {"finish_reason": "length", "generated_tokens": index, "input_length": 7}
        return {
            "index": index, "token": token, "generated_text": whole,
            "details": None if whole is None else details,
        }  # fmt: skip

    *first, last = [frame(index, text) for index, text in enumerate(words, 1)]
    return [*first, frame(len(words), last["token"]["text"], "".join(words))]


def kserve_stream(words):
    return [
        {"text_output": text, "output_tokens": count, "prompt_tokens": 7, "finish_reason": ""}
        for count, text in enumerate(words, 1)
    ]


STREAMS = {
    "openai-chat": lambda words: openai_stream(words, "content"),
    "openai-completions": lambda words: openai_stream(words, "text"),
    "tgi": tgi_stream,
    "kserve-generate": kserve_stream,
}


def written(documents, *, space, end, comments, pretty, escaped):
    """The body of the answer, as one of the many ways to write it."""
    blocks = []
    for document in documents:
        if isinstance(document, str):
            text = document
        elif pretty:
            text = json.dumps(document, indent=1)
        else:
            compact = (",", ":") if escaped else None
            text = json.dumps(document, separators=compact)
        lines = [f"data:{' ' if space else ''}{line}" for line in text.split("\n")]
        if comments:
            lines = [": keep-alive", "event: message", "id: 3", *lines]
        blocks.append(end.join([*lines, "", ""]) + (f":{end}{end}" if comments else ""))
    return "".join(blocks).encode()


def framed(body, framing, sizes):
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    if framing == "length":
        return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    if framing == "close":
        return head + b"Connection: close\r\n\r\n" + body
    out, at = [head, b"Transfer-Encoding: chunked\r\n\r\n"], 0
    for size in itertools.cycle(sizes or [len(body)]):
        piece = body[at : at + size]
        if not piece:
            break
        out.append(b"%x\r\n%s\r\n" % (len(piece), piece))
        at += size
    return b"".join([*out, b"0\r\n\r\n"])


def received(data, cuts):
    """What `stream.py` makes of the bytes, all read in one moment."""
    edges = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
    answer, parser, splitter = Answer(sent_s=0.5, done_s=2.0), ResponseParser(), EventSplitter()
    for start, stop in itertools.pairwise(edges):
        if start < stop:
            answer.events += splitter.feed(parser.feed(data[start:stop]))
    if not parser.done:
        parser.eof()
    answer.events += splitter.flush()
    answer.stamps_s = [1.0] * len(answer.events)
    answer.status = parser.status
    return answer


def record(answer, protocol, count_tokens=None):
    return to_record(
        answer, protocol, request_id="0-0", worker=0, scheduled_s=0.4, cancelled=False,
        count_tokens=count_tokens,
    )  # fmt: skip


@pytest.mark.parametrize("name", STREAMS)
@given(
    words=WORDS,
    cuts=st.lists(st.integers(0, 20_000), max_size=40),
    sizes=st.lists(st.integers(1, 200), max_size=4),
    framing=st.sampled_from(["chunked", "length", "close"]),
    space=st.booleans(),
    end=st.sampled_from(["\n", "\r\n"]),
    comments=st.booleans(),
    pretty=st.booleans(),
    escaped=st.booleans(),
)
def test_however_it_is_written_and_cut_the_record_is_the_same(
    name, words, cuts, sizes, framing, space, end, comments, pretty, escaped
):
    protocol, documents = STREAMING[name], STREAMS[name](words)
    body = written(
        documents, space=space, end=end, comments=comments, pretty=pretty, escaped=escaped
    )
    got = record(received(framed(body, framing, sizes), cuts), protocol)
    plain = written(documents, space=True, end="\n", comments=False, pretty=False, escaped=False)
    assert got == record(received(framed(plain, "length", []), []), protocol)
    # And it is the true one.
    content = sum(bool(text) for text in words) + (name == "openai-completions")
    assert (got.status, got.error, got.chunks) == (Status.OK, None, content)
    assert (got.prompt_tokens, got.output_tokens) == (7, len(words))
    assert got.token_source is TokenSource.USAGE


@pytest.mark.parametrize("name", STREAMS)
@given(words=WORDS)
def test_the_quick_test_says_of_no_event_more_than_reading_it_does(name, words):
    """What it takes for content is content: then it need not be parsed."""
    protocol = STREAMING[name]
    for document in STREAMS[name](words):
        for separators in ((",", ":"), (", ", ": ")):
            for raw in (True, False):
                text = json.dumps(document, separators=separators, ensure_ascii=raw)
                payload = text.encode("utf-8", "replace")
                if document != "[DONE]" and protocol.surely_content(payload):
                    assert protocol.read(payload).text


@pytest.mark.parametrize("name", STREAMS)
@given(words=WORDS)
def test_a_tokenizer_sees_the_whole_text_and_only_characters(name, words):
    """It is asked where the server counts nothing, and then for every event."""
    seen = []

    def count(text):
        text.encode()
        seen.append(text)
        return len(text)

    documents = [
        {key: value for key, value in document.items() if key not in ("usage", "output_tokens")}
        if isinstance(document, dict)
        else document
        for document in STREAMS[name](words)
    ]
    for document in documents:
        if isinstance(document, dict) and document.get("details"):
            document["details"] = None
    body = written(documents, space=True, end="\n", comments=False, pretty=False, escaped=False)
    got = record(received(framed(body, "length", []), []), STREAMING[name], count)
    whole = "".join(words) if name != "openai-completions" else "x" + "".join(words)
    if not whole:
        assert (got.output_tokens, got.token_source) == (None, TokenSource.NONE)
        return
    assert seen[-1] == whole.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    assert (got.output_tokens, got.token_source) == (len(seen[-1]), TokenSource.TOKENIZER)


KEYS = st.sampled_from([
    "choices", "delta", "content", "text", "usage", "completion_tokens", "prompt_tokens", "error",
    "token", "special", "details", "generated_tokens", "generated_text", "text_output",
    "output_tokens", "finish_reason", "reasoning", "message", "detail", "error_type",
])  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


def whatever(protocol, payloads, body=b"", status=200):
    answer = Answer(
        sent_s=0.5, done_s=2.0, status=status, body=body, events=payloads,
        stamps_s=[1.0] * len(payloads),
    )  # fmt: skip
    got = record(answer, protocol, len)
    assert got.status in (Status.OK, Status.STREAM_ERROR, Status.HTTP_ERROR)
    # Whatever it says must fit into the file.
    (got.error or "").encode()
    assert got.output_tokens is None or 0 <= got.output_tokens < 2**31


ALL = {**STREAMING, KSERVE_GRPC.name: KSERVE_GRPC}


@pytest.mark.parametrize("name", ALL)
@given(st.lists(JSON.map(lambda document: json.dumps(document).encode()), max_size=4))
def test_no_json_whatever_raises(name, payloads):
    whatever(ALL[name], payloads)


@pytest.mark.parametrize("name", ALL)
@given(st.lists(st.binary(max_size=40), max_size=4), st.binary(max_size=40))
def test_no_bytes_whatever_raise(name, payloads, body):
    whatever(ALL[name], payloads)
    whatever(ALL[name], [], body)
    whatever(ALL[name], [], body, 500)


@pytest.mark.parametrize("name", STREAMS)
@given(JSON.map(lambda document: json.dumps(document).encode()))
def test_no_error_document_whatever_raises(name, body):
    whatever(STREAMING[name], [], body, 422)


@given(st.binary(max_size=300), st.lists(st.integers(0, 400), max_size=10))
def test_no_stream_of_bytes_whatever_raises_anything_but_stream_error(noise, cuts):
    data = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: " + noise
    try:
        received(data, cuts)
    except StreamError as error:
        assert error.kind in ("bad_http", "bad_stream")


def response(outputs, *, final=False, error=""):
    message = messages().ModelStreamInferResponse(error_message=error)
    answer = message.infer_response
    answer.id = "a"
    for name, datatype, raw in outputs:
        answer.outputs.add(name=name, datatype=datatype, shape=[1])
        answer.raw_output_contents.append(raw)
    answer.parameters["triton_final_response"].bool_param = final
    return message.SerializeToString()


def grpc_text(text):
    data = text.encode("utf-8", "replace")
    return ("text_output", "BYTES", len(data).to_bytes(4, "little") + data)


def grpc_count(name, value):
    return (name, "INT32", value.to_bytes(4, "little", signed=True))


@given(words=WORDS)
def test_a_grpc_answer_has_its_text_its_counts_and_its_end(words):
    payloads = [
        response(
            [grpc_text(text), grpc_count("output_tokens", n), grpc_count("prompt_tokens", 7)],
            final=n == len(words),
        )
        for n, text in enumerate(words, 1)
    ]
    answer = Answer(sent_s=0.5, done_s=2.0, events=payloads, stamps_s=[1.0] * len(payloads))
    got = record(answer, KSERVE_GRPC)
    assert (got.status, got.chunks) == (Status.OK, sum(bool(text) for text in words))
    assert (got.prompt_tokens, got.output_tokens) == (7, len(words))
    answer = Answer(sent_s=0.5, done_s=2.0, events=payloads[:-1], stamps_s=[1.0] * len(words[1:]))
    assert record(answer, KSERVE_GRPC).status is Status.STREAM_ERROR


@pytest.mark.parametrize(
    "output",
    [
        ("text_output", "BYTES", b"\x05\x00\x00\x00abc"),
        ("text_output", "BYTES", b"\x05"),
        ("output_tokens", "INT32", b"\x01"),
        ("output_tokens", "FP32", b"\x01\x00\x00\x00"),
        ("output_tokens", "INT32", b"\xff\xff\xff\xff"),
    ],
)
def test_a_grpc_tensor_that_makes_no_sense_is_a_stream_error(output):
    answer = Answer(sent_s=0.5, done_s=2.0, events=[response([output])], stamps_s=[1.0])
    got = record(answer, KSERVE_GRPC)
    assert got.error is not None
    assert got.error.startswith("bad_event")


def test_a_grpc_error_is_told_in_the_servers_words_and_counts_may_be_missing():
    answer = Answer(
        sent_s=0.5, done_s=2.0, stamps_s=[1.0, 1.0],
        events=[response([grpc_text("a")]), response([], error="the model died")],
    )  # fmt: skip
    got = record(answer, KSERVE_GRPC)
    assert (got.status, got.error) == (Status.STREAM_ERROR, "server_error: the model died")
    answer.events[1] = response([grpc_text("b")], final=True)
    got = record(answer, KSERVE_GRPC)
    assert (got.output_tokens, got.token_source) == (2, TokenSource.CHUNKS)
    assert record(answer, KSERVE_GRPC, len).token_source is TokenSource.TOKENIZER
