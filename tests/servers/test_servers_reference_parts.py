"""The reference server's pure parts: what it plans, what it understands, what its bytes say."""

import json
import statistics
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.http1 import ResponseParser
from loadtests.protocols import STREAMING
from loadtests.sse import EventSplitter
from servers import knobs
from servers.contract import Request
from servers.errors import ServerError
from servers.reference import ENGINE, frames, plan
from servers.reference.asks import Ask, Refused, read_ask
from servers.reference.http_in import BadRequest, read_request
from servers.reference.plan import Settings

STYLES = {
    "openai-chat": "chat",
    "openai-completions": "completion",
    "kserve-generate": "kserve",
    "tgi": "generate",
}


def settings(**changed: object) -> Settings:
    return Settings(**knobs.complete(ENGINE, changed))


def said(name: str, ask: Ask, per_chunk: int = 1, role_at_once: bool = False) -> list:
    """What a whole answer means to the load test's reader of that protocol, event by event."""
    count = -(-ask.tokens // per_chunk)
    made = frames.wire(ask, per_chunk, count, role_at_once=role_at_once)
    raw = made.head + b"".join(made.frames[: count - 1]) + made.last + made.tail
    parser = ResponseParser()
    events = EventSplitter().feed(parser.feed(raw))
    assert parser.done
    return [STREAMING[name].read(event) for event in events]


@pytest.mark.parametrize("name", STYLES)
@pytest.mark.parametrize("per_chunk", [1, 4])
def test_every_protocols_reader_gets_all_tokens_in_as_many_chunks_as_planned(name, per_chunk):
    ask = Ask(STYLES[name], True, 10, 3, usage=True, running_usage=True)
    chunks = said(name, ask, per_chunk)
    texts = [chunk.text for chunk in chunks if chunk.text]
    assert "".join(texts) == frames.text_of(0, 10)
    assert [len(text.split()) for text in texts] == ([1] * 10 if per_chunk == 1 else [4, 4, 2])
    if name != "kserve-generate":
        assert chunks[-1].finished
        assert max(c.output_tokens for c in chunks if c.output_tokens is not None) == 10


@pytest.mark.parametrize("role_at_once", [False, True])
def test_chat_begins_with_a_chunk_that_holds_only_the_role(role_at_once):
    ask = Ask("chat", True, 2, 3)
    made = frames.wire(ask, 1, 2, role_at_once=role_at_once)
    assert said("openai-chat", ask, role_at_once=role_at_once)[0].text == ""
    assert (b'"role"' in made.head, b'"role"' in made.frames[0]) == (role_at_once, not role_at_once)


@given(tokens=st.integers(1, 60), per_chunk=st.integers(1, 9), prompt=st.integers(0, 99))
def test_running_usage_counts_what_has_been_sent_so_far(tokens, per_chunk, prompt):
    ask = Ask("chat", True, tokens, prompt, usage=True, running_usage=True)
    done = 0
    for chunk in said("openai-chat", ask, per_chunk):
        done += len(chunk.text.split())
        if not chunk.finished or chunk.text:
            assert (chunk.prompt_tokens, chunk.output_tokens) == (prompt, done)
    assert done == tokens


def test_usage_is_reported_only_as_asked():
    for usage, running, counts in ((False, False, 0), (True, False, 1), (True, True, 5)):
        ask = Ask("completion", True, 4, 3, usage=usage, running_usage=running)
        read = [chunk.output_tokens for chunk in said("openai-completions", ask)]
        assert len([one for one in read if one is not None]) == counts


@given(
    number=st.integers(0, 10**6),
    tokens=st.integers(1, 300),
    per_chunk=st.integers(1, 7),
    jitter=st.floats(0, 1),
    shares=st.sampled_from([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0.2, 0.3, 0.4)]),
)
def test_a_plan_is_the_same_each_time_and_has_a_due_time_for_each_event(
    number, tokens, per_chunk, jitter, shares
):
    http_error, stream_error, disconnect = (float(share) for share in shares)
    asked = settings(
        tokens_per_chunk=per_chunk,
        jitter=jitter,
        http_error_share=http_error,
        stream_error_share=stream_error,
        disconnect_share=disconnect,
    )
    made = plan.plan(asked, number, tokens)
    assert made == plan.plan(asked, number, tokens)
    chunks = -(-tokens // per_chunk)
    if made.outcome == plan.OK:
        assert made.chunks == len(made.offsets_s) == chunks
    elif made.outcome == plan.HTTP_ERROR:
        assert (made.chunks, made.offsets_s) == (0, [])
    else:
        assert made.chunks < chunks
        assert len(made.offsets_s) == made.chunks + 1
    assert all(before <= after for before, after in pairwise(made.offsets_s))


def test_the_first_token_is_as_late_as_its_median_and_tail_say():
    ttft_s = sorted(plan.plan(settings(), n, 1).offsets_s[0] for n in range(20_000))
    assert statistics.median(ttft_s) == pytest.approx(0.301, rel=0.02)
    assert ttft_s[19_800] == pytest.approx(1.357, rel=0.06)


def test_shares_of_failures_are_those_asked_for():
    asked = settings(http_error_share=0.1, stream_error_share=0.2, disconnect_share=0.3)
    found = [plan.plan(asked, n, 50).outcome for n in range(5_000)]
    shares = {name: found.count(name) / 5_000 for name in set(found)}
    assert shares == pytest.approx(
        {"http_error": 0.1, "stream_error": 0.2, "disconnect": 0.3, "ok": 0.4}, abs=0.025
    )


@given(st.binary(max_size=300), st.data())
def test_a_request_is_read_only_once_all_of_it_is_there(body, data):
    raw = b"POST /x?y=1 HTTP/1.1\r\nHost: a\r\nContent-LENGTH: %d\r\n\r\n%s" % (len(body), body)
    cut = data.draw(st.integers(0, len(raw) - 1))
    assert read_request(raw[:cut]) is None
    request = read_request(raw + b"GET / HTTP/1.1\r\n")
    assert request is not None
    assert (request.method, request.path, request.body) == ("POST", "/x", body)
    assert request.size == len(raw)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: some\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"a" * 70_000, 431),
    ],
)
def test_what_is_no_request_is_refused_by_its_status(raw, status):
    with pytest.raises(BadRequest) as refused:
        read_request(raw)
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/completions", {"model": "nobody"}, 404),
        ("/v1/completions", {"max_tokens": 0}, 400),
        ("/v1/completions", {"max_tokens": -1}, 400),
        ("/v1/completions", {"max_tokens": True}, 400),
        ("/v1/completions", {"max_tokens": 10**9}, 400),
        ("/v1/completions", {"stream_options": 3}, 400),
        ("/v1/completions", [], 400),
        ("/generate_stream", {"inputs": 3}, 422),
        ("/v2/models/nobody/generate_stream", {"text_input": "x"}, 404),
    ],
)
def test_asks_that_cannot_be_answered_are_refused_as_engines_do(path, body, status):
    with pytest.raises(Refused) as refused:
        read_ask(path, json.dumps(body).encode())
    assert refused.value.status == status


def test_an_ask_without_a_length_gets_the_usual_one():
    assert read_ask("/v1/completions", b"{}").tokens == 100


def test_prompts_of_any_shape_are_counted_in_words():
    def words(path: str, **body: object) -> int:
        return read_ask(path, json.dumps(body).encode()).prompt_tokens

    parts = [{"type": "text", "text": "a b"}, {"type": "text", "text": "c"}]
    messages = [{"role": "user", "content": parts}, {"role": "user", "content": "d e"}]
    assert words("/v1/chat/completions", messages=messages) == 5
    assert words("/v1/completions", prompt=[5, 6, 7]) == 3
    assert words("/v2/models/reference/generate_stream", text_input="a b") == 2


def test_shares_that_add_up_to_more_than_one_are_refused(tmp_path):
    chosen = knobs.complete(ENGINE, {"http_error_share": 0.6, "disconnect_share": 0.6})
    request = Request(
        "reference", chosen, None, "reference", {"http": 1}, "127.0.0.1", tmp_path, None, "cpu"
    )
    with pytest.raises(ServerError, match="more than 1 together"):
        ENGINE.launch(request)
