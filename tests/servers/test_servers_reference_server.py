"""A running reference server keeps its promises: its times, its failures, its truth."""

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from lab.calibrate_truth import Truth, decode
from servers import supervisor
from servers.paths import ROOT
from servers.reference import ENGINE
from servers.reference.metrics import METRICS

FAST = {"ttft-ms": 20, "ttft-tail": 0, "gap-ms": 5}


@contextmanager
def running(**knobs: object) -> Iterator[httpx.Client]:
    flags = [str(w) for k, v in {**FAST, **knobs}.items() for w in (f"--{k.replace('_', '-')}", v)]
    argv = [sys.executable, "-m", "servers.reference", "--port", "0", *flags]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = process.stdout.readline().rsplit(":", 1)[1].strip()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
            yield client
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="module")
def server() -> Iterator[httpx.Client]:
    with running() as client:
        yield client


@pytest.fixture
def fresh(server: httpx.Client) -> httpx.Client:
    server.post("/truth/reset")
    return server


def completion(client: httpx.Client, tokens: int = 5, **more: object) -> httpx.Response:
    body = {"model": "reference", "prompt": "a b", "max_tokens": tokens, "stream": True, **more}
    return client.post("/v1/completions", json=body, headers={"X-Request-Id": f"r-{tokens}"})


def truth(client: httpx.Client) -> Truth:
    return decode(client.get("/truth").content)


def port_of(client: httpx.Client) -> int:
    assert client.base_url.port is not None
    return client.base_url.port


def test_its_chunks_are_due_when_the_knobs_say_and_never_sent_before(fresh):
    for _ in range(3):
        assert completion(fresh, 8).text.count("data: ") == 9
    found = truth(fresh)
    assert (found.late_s >= 0).all()
    # What is left without lateness is the plan itself, whatever else the machine had to do.
    due_s = found.sent_s - found.late_s
    for first, end in pairwise(found.offset):
        times = due_s[first:end]
        assert times[1:] - times[:-1] == pytest.approx(0.005, abs=1e-5)
    assert due_s[found.offset[:-1]] - found.received_s == pytest.approx(0.020, abs=1e-5)


def test_truth_lies_between_what_the_client_saw(fresh):
    before_s = time.time()
    arrived_s = []
    body = {"model": "reference", "prompt": "a", "max_tokens": 4, "stream": True}
    with fresh.stream("POST", "/v1/completions", json=body) as answer:
        for line in answer.iter_lines():
            if line.startswith("data: {"):
                arrived_s.append(time.time())
    found = truth(fresh)
    assert before_s <= found.received_s[0] <= found.sent_s[0]
    assert all(sent <= seen for sent, seen in zip(found.sent_s, arrived_s, strict=True))
    assert (found.outcome, list(found.tokens)) == (["ok"], [4])


def test_requests_are_named_and_forgotten_on_request(fresh):
    completion(fresh, 2)
    completion(fresh, 3)
    assert truth(fresh).request_id == ["r-2", "r-3"]
    fresh.post("/truth/reset")
    assert truth(fresh).request_id == []


def test_after_a_reset_the_same_requests_get_the_same_times():
    with running(ttft_ms=5, ttft_tail=1, jitter=0.5) as client:
        offsets = []
        for _ in range(2):
            client.post("/truth/reset")
            for tokens in (3, 2, 4):
                completion(client, tokens)
            found = truth(client)
            due_s = found.sent_s - found.late_s
            starts = [found.received_s[i] for i in range(3) for _ in range((3, 2, 4)[i])]
            offsets.append(due_s - starts)
        assert offsets[0] == pytest.approx(offsets[1], abs=2e-5)
        assert len({round(float(one), 4) for one in offsets[0]}) > 6


def test_an_answer_that_is_not_streamed_comes_whole_when_its_last_token_would(fresh):
    answer = completion(fresh, 5, stream=False).json()
    assert len(answer["choices"][0]["text"].split()) == 5
    assert answer["usage"] == {"prompt_tokens": 2, "total_tokens": 7, "completion_tokens": 5}
    found = truth(fresh)
    planned_s = found.sent_s[0] - found.late_s[0] - found.received_s[0]
    assert planned_s == pytest.approx(0.020 + 4 * 0.005, abs=1e-5)
    assert list(found.tokens) == [5]


def test_all_four_protocols_answer(fresh):
    chat = {"model": "reference", "messages": [{"role": "user", "content": "a"}], "max_tokens": 2}
    asks = {
        "/v1/chat/completions": {**chat, "stream": True},
        "/v2/models/reference/generate_stream": {"text_input": "a", "max_tokens": 2},
        "/generate_stream": {"inputs": "a", "parameters": {"max_new_tokens": 2}},
    }
    texts = [fresh.post(path, json=body).text for path, body in asks.items()]
    assert texts[0].rstrip().endswith("data: [DONE]")
    assert texts[1].count("text_output") == 2
    assert texts[2].startswith('data:{"index":1')
    assert fresh.post("/generate", json=asks["/generate_stream"]).json()["generated_text"]


def test_http_errors_answer_at_once_without_a_token():
    with running(http_error_share=1.0) as client:
        answer = completion(client)
        assert answer.status_code == 503
        assert answer.json()["error"]["code"] == 503
        assert completion(client).status_code == 503
        assert truth(client).outcome == ["http_error"] * 2


def test_a_stream_error_follows_some_tokens_and_the_connection_goes_on():
    with running(stream_error_share=1.0) as client:
        answer = completion(client, 10)
        events = [line for line in answer.text.splitlines() if line]
        assert answer.status_code == 200
        assert events[-1] == "data: [DONE]"
        assert "error" in json.loads(events[-2].removeprefix("data: "))
        found = truth(client)
        assert found.outcome == ["stream_error"]
        assert len(events) - 2 == len(found.sent_s) == found.tokens[0]
        assert 1 <= len(found.sent_s) < 10
        assert completion(client, 10, stream=False).status_code == 500


def test_a_disconnect_breaks_the_answer_off_in_the_middle():
    with running(disconnect_share=1.0) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            completion(client, 10)
        assert truth(client).outcome == ["disconnect"]


def test_a_client_that_leaves_is_noticed(fresh):
    body = {"model": "reference", "prompt": "a", "max_tokens": 5000, "stream": True}
    with fresh.stream("POST", "/v1/completions", json=body) as answer:
        next(answer.iter_lines())
    deadline = time.monotonic() + 10
    while truth(fresh).outcome == ["running"] and time.monotonic() < deadline:
        time.sleep(0.02)
    found = truth(fresh)
    assert found.outcome == ["client_left"]
    assert 1 <= found.tokens[0] < 5000


def test_a_stall_delays_all_that_was_to_come_by_as_much_as_it_lasts():
    with running(stall_after_s=0.1, stall_for_s=0.4, gap_ms=10) as client:
        completion(client, 30)
        found = truth(client)
        gaps = found.sent_s[1:] - found.sent_s[:-1]
        assert gaps.max() >= 0.4
        late_s = found.late_s[1:] - found.late_s[:-1]
        # Once 0.4 s more than planned, otherwise the plan.
        assert sorted(gaps - late_s)[-2:] == pytest.approx([0.010, 0.410], abs=2e-5)
        assert completion(client, 2).status_code == 200
        assert (truth(client).sent_s[30:] - truth(client).received_s[1]).max() < 0.4


def test_a_client_that_does_not_read_gets_everything_later_and_is_counted(fresh):
    body = json.dumps({"model": "reference", "prompt": "a", "max_tokens": 60_000, "stream": True})
    with running(gap_ms=0) as quick, socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        plain.connect(("127.0.0.1", port_of(quick)))
        head = f"POST /v1/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n"
        plain.sendall((head + body).encode())
        deadline = time.monotonic() + 20
        while truth(quick).outcome == ["running"] and time.monotonic() < deadline:
            time.sleep(0.05)
        assert truth(quick).blocked > 0
        plain.settimeout(20)
        received = bytearray()
        while not received.endswith(b"0\r\n\r\n"):
            received += plain.recv(1 << 20)
        assert received.count(b'"text":') == 60_000


def test_requests_sent_ahead_on_one_connection_are_answered_in_turn(fresh):
    body = json.dumps({"model": "reference", "prompt": "a", "max_tokens": 2, "stream": True})
    one = f"POST /v1/completions HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    with socket.create_connection(("127.0.0.1", port_of(fresh))) as plain:
        plain.settimeout(10)
        plain.sendall(one + one + b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        received = b""
        while data := plain.recv(65536):
            received += data
    assert received.count(b"[DONE]") == 2
    assert received.count(b"HTTP/1.1 200") == 3
    assert truth(fresh).outcome == ["ok", "ok"]


@pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", b"\x16\x03\x01\r\n\r\n"])
def test_what_is_not_http_is_told_so_and_cut_off(fresh, raw):
    with socket.create_connection(("127.0.0.1", port_of(fresh))) as plain:
        plain.settimeout(10)
        plain.sendall(raw)
        received = b""
        while data := plain.recv(65536):
            received += data
    assert received.startswith(b"HTTP/1.1 400")
    assert fresh.get("/health").status_code == 200


def test_many_at_once_are_all_answered(fresh):
    def one(number: int) -> str:
        return completion(fresh, 1 + number % 7).text

    with ThreadPoolExecutor(32) as pool:
        texts = list(pool.map(one, range(200)))
    assert [text.count('"text":') for text in texts] == [1 + n % 7 for n in range(200)]
    found = truth(fresh)
    assert len(found.outcome) == 200
    assert set(found.outcome) == {"ok"}
    assert len(found.sent_s) == sum(1 + n % 7 for n in range(200))


def test_every_declared_metric_is_exported_as_declared_and_counts(server):
    def scrape() -> dict:
        families = list(text_string_to_metric_families(server.get("/metrics").text))
        return {
            "types": {family.name: family.type for family in families},
            "values": {
                (sample.name, sample.labels.get("outcome", "")): sample.value
                for family in families
                for sample in family.samples
                if "le" not in sample.labels
            },
        }

    before = scrape()
    completion(server, 7)
    after = scrape()
    exported = after["types"]
    assert {metric.name.removesuffix("_total"): metric.kind for metric in METRICS} == exported
    grown = {key: value - before["values"][key] for key, value in after["values"].items()}
    assert grown["reference_requests_total", "ok"] == 1
    assert grown["reference_output_tokens_total", ""] == 7
    assert grown["reference_prompt_tokens_total", ""] == 2
    assert grown["reference_time_to_first_token_seconds_count", ""] == 1
    assert after["values"]["reference_requests_running", ""] == 0
    for metric in METRICS:
        for value in metric.selector.values():
            wanted = {value} if isinstance(value, str) else set(value)
            assert wanted <= {label for name, label in after["values"] if name == metric.name}


def test_the_lab_starts_it_with_knobs_like_any_engine(lab_home):
    instance = supervisor.up(ENGINE, settings={"gap_ms": 1.0}, say=lambda _: None)
    models = httpx.get(f"{instance.base_url}/v1/models", trust_env=False, timeout=60).json()
    assert [model["id"] for model in models["data"]] == [instance.served_name]
    assert "--gap-ms" in instance.argv


def test_a_port_in_use_is_said_in_a_line(server):
    argv = [sys.executable, "-m", "servers.reference", "--port", str(port_of(server))]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert "cannot listen on 127.0.0.1" in done.stderr
    assert "Traceback" not in done.stderr
