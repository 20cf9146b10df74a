"""TGI's own API, frame by frame as its router writes them. No TGI runs here: these are its frames."""

import json

import pytest

from loadtests.answer import to_record
from loadtests.protocols.contract import Ask
from loadtests.protocols.tgi import TGI
from loadtests.sse import EventSplitter
from loadtests.wire import Answer
from measure.records import Status, TokenSource

# `StreamResponse` of TGI 3.3 as serde writes it: compact, fields in this order.
FRAMES = (
    ":\n\n"
    'data:{"index":1,"token":{"id":1,"text":"<s>","logprob":null,"special":true},'
    '"generated_text":null,"details":null}\n\n'
    'data:{"index":2,"token":{"id":1735,"text":"","logprob":-0.5,"special":false},'
    '"generated_text":null,"details":null}\n\n'
    'data:{"index":3,"token":{"id":29896,"text":" \u65e5","logprob":-0.034,"special":false},'
    '"generated_text":null,"details":null}\n\n'
    ":\n\n"
    'data:{"index":4,"token":{"id":13,"text":"\\"special\\": true","logprob":-1e-7,"special":false},'
    '"generated_text":null,"details":null}\n\n'
    'data:{"index":5,"token":{"id":2,"text":"</s>","logprob":-0.2,"special":true},'
    '"generated_text":" \u65e5\\"special\\": true","details":{"finish_reason":"eos_token",'
    '"generated_tokens":5,"seed":null,"input_length":9}}\n\n'
).encode()


def record(stream, *, status=200, body=b"", count_tokens=None):
    splitter = EventSplitter()
    events = splitter.feed(stream) + splitter.flush()
    answer = Answer(
        sent_s=0.5, done_s=99.0, status=status, events=events, body=body,
        stamps_s=[1.0 + place for place in range(len(events))],
    )  # fmt: skip
    return to_record(
        answer, TGI, request_id="0-0", worker=0, scheduled_s=0.4, cancelled=False,
        count_tokens=count_tokens,
    )  # fmt: skip


def test_the_last_frame_counts_and_special_or_empty_tokens_are_no_content():
    got = record(FRAMES)
    assert (got.status, got.error) == (Status.OK, None)
    assert got.chunk_s == [3.0, 4.0]
    assert (got.prompt_tokens, got.output_tokens, got.token_source) == (9, 5, TokenSource.USAGE)
    # The beginning-of-text token and the one without a whole character came before it.
    assert got.first_chunk_tokens == 3


def test_the_quick_test_knows_content_from_special_tokens_whatever_their_text_says():
    splitter = EventSplitter()
    assert [TGI.surely_content(event) for event in splitter.feed(FRAMES)] == [
        False, False, True, True, False,
    ]  # fmt: skip
    hostile = {"id": 1, "text": '"token":{"id":1,"text":"x","logprob":0,"special":false}',
               "logprob": 0.0, "special": True}  # fmt: skip
    assert not TGI.surely_content(json.dumps({"index": 1, "token": hostile}).encode())


def test_a_frame_of_only_what_clients_need_is_read_too():
    frame = b'data:{"token":{"id":5,"text":"a","logprob":-0.1,"special":false}}\n\n'
    last = (
        b'data:{"token":{"id":6,"text":"b","logprob":-0.1,"special":false},"generated_text":"aab",'
        b'"details":{"finish_reason":"length","generated_tokens":3}}\n\n'
    )
    got = record(frame + frame + last)
    assert (got.chunks, got.output_tokens, got.first_chunk_tokens) == (3, 3, 1)
    assert (got.status, got.prompt_tokens) == (Status.OK, None)


def test_a_stream_without_its_last_frame_was_cut_off():
    cut = FRAMES[: FRAMES.index(b'data:{"index":5')]
    got = record(cut)
    assert got.status is Status.STREAM_ERROR
    assert got.error is not None
    assert got.error.startswith("truncated")
    assert (got.output_tokens, got.token_source) == (2, TokenSource.CHUNKS)
    counted = record(cut, count_tokens=lambda text: len(text))
    assert (counted.output_tokens, counted.token_source) == (17, TokenSource.TOKENIZER)


def test_a_last_frame_without_details_is_complete_but_not_counted():
    frame = (
        b'data:{"token":{"id":6,"text":"b","logprob":-0.1,"special":false},"generated_text":"b",'
        b'"details":null}\n\n'
    )
    got = record(frame)
    assert (got.status, got.output_tokens, got.token_source) == (Status.OK, 1, TokenSource.CHUNKS)


def test_an_error_frame_of_an_answer_with_200_fails_the_request():
    error = b'data:{"error":"Request failed during generation","error_type":"generation"}\n\n'
    got = record(FRAMES[: FRAMES.index(b'data:{"index":4')] + error)
    assert (got.status, got.http_status, got.chunks) == (Status.STREAM_ERROR, 200, 1)
    assert got.error == "server_error: Request failed during generation (generation)"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (422, "validation"),
        (424, "generation"),
        (429, "overloaded"),
        (500, "incomplete_generation"),
        (503, "healthcheck"),
    ],
)
def test_each_refusal_is_an_http_error_in_its_own_words(status, kind):
    got = record(b"", status=status, body=json.dumps({"error": "No.", "error_type": kind}).encode())
    assert (got.status, got.http_status) == (Status.HTTP_ERROR, status)
    assert got.error == f"No. ({kind})"


@pytest.mark.parametrize(
    "frame",
    [b"{}", b"[]", b'{"token": 3}', b'{"token": {"id": 1}}', b'{"token": {"text": 4}}',
     b'{"token": {"text": "a"}, "details": {"generated_tokens": -1}}'],
)  # fmt: skip
def test_a_frame_that_is_none_is_a_stream_error(frame):
    got = record(b"data:" + frame + b"\n\n")
    assert got.status is Status.STREAM_ERROR
    assert got.error is not None
    assert got.error.startswith("bad_event")


def test_a_request_asks_for_what_the_api_has():
    assert TGI.body(Ask("m", "Hello", 17)) == {
        "inputs": "Hello",
        "parameters": {"max_new_tokens": 17, "do_sample": False, "details": True},
    }
    assert TGI.path("any/model") == "/generate_stream"
    info = {"model_id": "HuggingFaceTB/SmolLM2-135M-Instruct", "router": "text-generation-router"}
    assert TGI.model_names(info) == ["HuggingFaceTB/SmolLM2-135M-Instruct"]
