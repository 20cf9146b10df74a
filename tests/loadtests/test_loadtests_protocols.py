import json

import pytest

from loadtests.answer import to_record
from loadtests.errors import StreamError
from loadtests.protocols import STREAMING
from loadtests.protocols.contract import Ask
from loadtests.protocols.kserve import GENERATE
from loadtests.protocols.openai import CHAT, COMPLETIONS
from loadtests.wire import Answer
from measure.records import Status, TokenSource


def record(protocol, events, *, count_tokens=None, cancelled=False, **answer):
    payloads = [e if isinstance(e, bytes) else json.dumps(e).encode() for e in events]
    stamps_s = [1.0 + place for place in range(len(payloads))]
    found = Answer(
        sent_s=0.5, done_s=99.0, status=answer.pop("status", 200), events=payloads,
        stamps_s=stamps_s, **answer,
    )  # fmt: skip
    return to_record(
        found, protocol, request_id="0-0", worker=0, scheduled_s=0.4, cancelled=cancelled,
        count_tokens=count_tokens,
    )  # fmt: skip


def chat(delta, finish=None, **more):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


def test_a_role_only_first_chunk_is_no_content():
    got = record(
        CHAT,
        [chat({"role": "assistant", "content": ""}), chat({"content": "Hi"}), chat({}, "stop")],
    )
    assert (got.first_content_s, got.last_content_s, got.chunks) == (2.0, 2.0, 1)
    assert got.status is Status.OK


@pytest.mark.parametrize("key", ["reasoning_content", "reasoning"])
def test_reasoning_counts_as_content(key):
    got = record(CHAT, [chat({key: "Hmm"}), chat({"content": "4"}), b"[DONE]"])
    assert got.chunk_s == [1.0, 2.0]


def test_running_usage_gives_the_tokens_of_the_first_chunk():
    events = [
        chat({"content": "a b"}, usage={"prompt_tokens": 7, "completion_tokens": 2}),
        chat({"content": "c d"}, usage={"prompt_tokens": 7, "completion_tokens": 4}),
        {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 4}},
        b"[DONE]",
    ]
    got = record(CHAT, events)
    assert (got.output_tokens, got.first_chunk_tokens, got.prompt_tokens) == (4, 2, 7)
    assert got.token_source is TokenSource.USAGE
    assert got.chunks == 2


def test_without_usage_the_tokenizer_counts_and_without_that_the_chunks():
    events = [chat({"content": "one two"}), chat({"content": " three"}, "length")]
    got = record(CHAT, events, count_tokens=lambda text: len(text.split()))
    assert (got.output_tokens, got.first_chunk_tokens) == (3, 2)
    assert got.token_source is TokenSource.TOKENIZER
    got = record(CHAT, events)
    assert (got.output_tokens, got.token_source) == (2, TokenSource.CHUNKS)


def test_generated_text_that_looks_like_json_does_not_fool_the_quick_test():
    hostile = '{"content": "x"} \\"text\\":"y" "error": "boom"'
    events = [chat({"content": "a"}), chat({"content": ""}), chat({"content": hostile}), b"[DONE]"]
    assert record(CHAT, events).chunk_s == [1.0, 3.0]
    empty = json.dumps(chat({"tool": hostile})).encode()
    assert not CHAT.surely_content(empty)
    assert CHAT.surely_content(json.dumps(chat({"content": hostile})).encode())


@pytest.mark.parametrize("protocol", STREAMING.values(), ids=STREAMING.keys())
def test_an_error_that_quotes_content_is_an_error_all_the_same(protocol):
    good = {"text_output": "a", **chat({"content": "a"}), "token": {"text": "a"}}
    good["choices"][0]["text"] = "a"
    bad = {"error": {"message": "no", "content": "x", "text": "x", "text_output": "x"}}
    got = record(protocol, [good, bad, good])
    assert got.status is Status.STREAM_ERROR
    assert got.error is not None
    assert got.error.startswith("server_error")


@pytest.mark.parametrize("protocol", STREAMING.values(), ids=STREAMING.keys())
def test_an_error_in_the_middle_of_a_stream_fails_the_request(protocol):
    good = {
        "openai-chat": chat({"content": "a"}),
        "openai-completions": {"choices": [{"text": "a", "finish_reason": None}]},
        "tgi": {"token": {"id": 5, "text": "a", "logprob": -0.1, "special": False}},
        "kserve-generate": {"text_output": "a"},
    }[protocol.name]
    bad = {"error": "the engine died"}
    got = record(protocol, [good, good, bad, b"[DONE]"])
    assert got.status is Status.STREAM_ERROR
    assert got.error == "server_error: the engine died"
    assert got.chunks == 2


@pytest.mark.parametrize("end", [{"error": "the engine died"}, b"{broken"])
def test_tokens_that_came_before_an_error_in_the_stream_are_counted(end):
    words = [
        chat({"content": "a"}, usage={"prompt_tokens": 3, "completion_tokens": count})
        for count in (1, 2, 3)
    ]
    got = record(CHAT, [*words, end])
    assert got.status is Status.STREAM_ERROR
    assert (got.chunks, got.output_tokens, got.first_chunk_tokens) == (3, 3, 1)


def test_an_error_document_is_an_error_in_a_stream_of_vllm():
    bad = {"error": {"message": "EngineCore died", "type": "InternalServerError", "code": 500}}
    assert record(COMPLETIONS, [bad, b"[DONE]"]).error == "server_error: EngineCore died"


def test_a_stream_of_openai_that_just_ends_was_truncated():
    got = record(CHAT, [chat({"content": "a"})])
    assert got.status is Status.STREAM_ERROR
    assert got.error is not None
    assert got.error.startswith("truncated")


def test_a_stream_of_triton_ends_with_its_connection():
    got = record(GENERATE, [{"text_output": " a"}, {"text_output": " b"}])
    assert (got.status, got.output_tokens, got.token_source) == (Status.OK, 2, TokenSource.CHUNKS)


def test_counts_of_a_triton_model_are_its_usage():
    events = [
        {"text_output": "a", "output_tokens": 1, "prompt_tokens": 9},
        {"text_output": "b", "output_tokens": 3, "prompt_tokens": 9},
    ]
    got = record(GENERATE, events)
    assert (got.output_tokens, got.first_chunk_tokens, got.prompt_tokens) == (3, 1, 9)
    assert got.token_source is TokenSource.USAGE


@pytest.mark.parametrize("event", [b"{broken", b"[]", b'"text"', b'{"choices": 3}'])
def test_an_event_that_cannot_be_read_is_a_stream_error(event):
    got = record(COMPLETIONS, [event])
    assert got.status is Status.STREAM_ERROR
    assert got.error is not None
    assert got.error.startswith("bad_event")


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"error": {"message": "max_tokens is too large"}}', "max_tokens is too large"),
        (b'{"detail": "Not Found"}', "Not Found"),
        (b"<html>\n gone </html>", "<html> gone </html>"),
        (b"", "(empty body)"),
    ],
)
def test_a_failed_answer_says_what_its_body_says(body, text):
    got = record(CHAT, [], status=400, body=body)
    assert (got.status, got.http_status, got.error) == (Status.HTTP_ERROR, 400, text)


def test_a_json_answer_is_not_a_stream():
    got = record(CHAT, [], body=b'{"choices": []}')
    assert got.status is Status.STREAM_ERROR
    assert got.error is not None
    assert got.error.startswith("not_a_stream")


def test_a_cancelled_request_keeps_what_had_come():
    got = record(CHAT, [chat({"content": "a"})], cancelled=True)
    assert (got.status, got.chunks) == (Status.CANCELLED, 1)


def test_a_broken_answer_keeps_its_own_error():
    broken = StreamError("gap_timeout", "2 s", Status.TIMEOUT)
    got = record(CHAT, [chat({"content": "a"})], error=broken)
    assert (got.status, got.error) == (Status.TIMEOUT, "gap_timeout: 2 s")


def test_the_length_asked_for_is_exact_where_the_protocol_can_say_so():
    for protocol in STREAMING.values():
        body = protocol.body(Ask("m", "p", 17))
        if protocol.name == "tgi":
            assert body["parameters"]["max_new_tokens"] == 17
        else:
            assert body["max_tokens"] == 17
            assert body["ignore_eos"] is True
            assert protocol.body(Ask("m", "p", 17, exact=False))["ignore_eos"] is False


def test_each_dialect_of_openai_asks_for_less():
    bodies = [CHAT.body(Ask("m", "p", 17, dialect=dialect)) for dialect in CHAT.dialects]
    assert bodies[0]["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert bodies[1]["stream_options"] == {"include_usage": True}
    assert "ignore_eos" not in bodies[1]
    assert "stream_options" not in bodies[2]
    assert all((body["stream"], body["max_tokens"]) == (True, 17) for body in bodies)


def test_a_model_name_cannot_leave_its_place_in_the_path():
    assert GENERATE.path("a/b?c") == "/v2/models/a%2Fb%3Fc/generate_stream"


ODD_COUNTS = [10**30, 2**31, -10, "y", 1.5, True, [3], {}]


@pytest.mark.parametrize("count", ODD_COUNTS, ids=repr)
@pytest.mark.parametrize("key", ["prompt_tokens", "completion_tokens"])
def test_a_count_that_is_none_is_a_stream_error_of_that_request(key, count):
    good = chat({"content": "a"}, usage={"prompt_tokens": 7, "completion_tokens": 1})
    got = record(CHAT, [good, {"choices": [], "usage": {key: count}}, b"[DONE]"])
    assert got.status is Status.STREAM_ERROR
    assert got.error is not None
    assert got.error.startswith(f"bad_event: {key} is no whole number from 0 to 2147483647")
    assert (got.prompt_tokens, got.output_tokens, got.chunks) == (7, 1, 1)


@pytest.mark.parametrize("count", ODD_COUNTS, ids=repr)
@pytest.mark.parametrize("key", ["prompt_tokens", "output_tokens"])
def test_a_count_of_triton_that_is_none_is_one_too(key, count):
    got = record(GENERATE, [{"text_output": "a", key: count}])
    assert got.status is Status.STREAM_ERROR
    assert got.error is not None
    assert got.error.startswith(f"bad_event: {key} is no whole number")


def test_the_largest_and_the_smallest_count_are_counts():
    usage = {"prompt_tokens": 0, "completion_tokens": 2**31 - 1}
    got = record(CHAT, [chat({"content": "a"}, "stop", usage=usage)])
    assert (got.status, got.prompt_tokens, got.output_tokens) == (Status.OK, 0, 2**31 - 1)


def test_reasoning_under_both_its_names_is_counted_once():
    events = [chat({"reasoning": "one two", "reasoning_content": "one two"}, "stop")]
    got = record(CHAT, events, count_tokens=lambda text: len(text.split()))
    assert got.output_tokens == 2


def test_half_a_character_reaches_neither_the_tokenizer_nor_the_file():
    """JSON can hold half of a pair; its other half may come with the next chunk, or never."""
    seen = []
    events = [
        b'{"choices": [{"delta": {"content": "\\ud83d"}}]}',
        b'{"choices": [{"delta": {"content": "\\ude00 \\udc00"}, "finish_reason": "stop"}]}',
    ]
    got = record(CHAT, events, count_tokens=lambda text: seen.append(text) or 1)
    assert seen == ["\ufffd", "\U0001f600 \ufffd"]
    assert got.token_source is TokenSource.TOKENIZER
    assert record(CHAT, [b'{"error": "\\udc00"}']).error == "server_error: \ufffd"


def test_an_event_nested_too_deeply_to_read_is_a_stream_error():
    assert record(CHAT, [], status=500, body=b"[" * 100_000).status is Status.HTTP_ERROR
    got = record(CHAT, [b"[" * 100_000])
    assert got.error is not None
    assert got.error.startswith("bad_event")
