"""KServe over gRPC against a real tritonserver: streams of the tiny language model, and texts."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pyarrow.compute as pc
import pytest

from measure.store import open_run
from servers import supervisor
from servers.triton import ENGINE

pytestmark = [pytest.mark.engine, pytest.mark.load]
ASKS = Path(__file__).parents[1] / "support" / "grpc_asks.py"
PROMPT = "Hello there, how are you"


@pytest.fixture(scope="module")
def triton(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(tmp_path_factory.mktemp("home")))
        yield supervisor.up(
            ENGINE, name="triton-grpc", model="tiny", settings={"instances": 1}, say=lambda _: None
        )
        supervisor.down(say=lambda _: None)


def host(instance) -> str:
    return f"{instance.host}:{instance.ports['grpc']}"


def asked(instance, *asks) -> list[dict]:
    done = subprocess.run(
        [sys.executable, str(ASKS), host(instance), json.dumps(asks)],
        cwd=ASKS.parents[2], env={**os.environ, "PYTHONPATH": str(ASKS.parents[2])},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def ask(tokens: int, **more) -> dict:
    return {"prompt": PROMPT, "tokens": tokens, **more}


def cancelled(instance) -> float:
    lines = httpx.get(instance.metrics_url, timeout=60).text.splitlines()
    return sum(float(x.rsplit(" ", 1)[1]) for x in lines if x.startswith("llm_requests_cancelled"))


def test_the_answer_and_its_counts_are_those_of_generate_stream(triton):
    body = {"text_input": PROMPT, "max_tokens": 24, "ignore_eos": True, "temperature": 0}
    url = f"{triton.base_url}/v2/models/llm/generate_stream"
    with httpx.stream("POST", url, json={**body, "stream": True}, timeout=60) as answer:
        frames = [json.loads(line[5:]) for line in answer.iter_lines() if line[:5] == "data:"]
    first, again = asked(triton, ask(24), ask(24))
    for got in (first, again):
        assert got["text"] == "".join(frame["text_output"] for frame in frames)
        assert got["output_tokens"] == frames[-1]["output_tokens"] == 24
        assert got["prompt_tokens"] == frames[-1]["prompt_tokens"]
        assert got["chunks"] == sum(bool(frame["text_output"]) for frame in frames)
        assert (got["status"], got["error"], got["first_chunk_tokens"]) == ("ok", None, 1)
        assert (got["source"], got["clock"]) == ("usage", "user")
    assert first["stream"] == again["stream"], "the stream is kept"


def test_a_request_that_the_model_refuses_is_quoted_and_the_next_one_answered(triton):
    refused, unknown, good = asked(triton, ask(5000), ask(3, model="nobody"), ask(3))
    assert refused["status"] == "stream_error"
    assert "max_tokens is 5000" in refused["error"]
    assert "unknown model: 'nobody'" in unknown["error"]
    assert (good["status"], good["output_tokens"]) == ("ok", 3)


def test_a_cancelled_and_a_late_request_free_their_place_and_taint_no_other(triton):
    before = cancelled(triton)
    killed, late, good = asked(
        triton,
        ask(900, after=3, cancel=True),
        ask(900, limits={"total_s": 0.2}),
        ask(8),
    )
    assert killed["status"] == "cancelled"
    assert 3 <= killed["output_tokens"] < 900
    assert late["status"] == "timeout"
    assert late["error"] == "total_timeout: total took more than 0.2 s"
    assert (good["status"], good["output_tokens"], good["chunks"]) == ("ok", 8, 8)
    while cancelled(triton) < before + 2:
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("after", "limit", "error"),
    [
        (3, "gap_s", "gap_timeout: gap between reads took more than 0.3 s"),
        (0, "first_token_s", "first_token_timeout: first token took more than 0.3 s"),
    ],
)
def test_a_server_that_stands_still_runs_into_a_limit(triton, after, limit, error):
    pids = [pid for pid, _ in triton.members]
    try:
        _, still, fresh = asked(
            triton,
            ask(2),
            ask(900, after=after, signal=signal.SIGSTOP, pids=pids, limits={limit: 0.3}),
            ask(2, limits={"connect_s": 0.5}),
        )
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert (still["status"], still["error"]) == ("timeout", error)
    assert still["chunks"] >= after
    assert fresh["status"] == "timeout"
    assert fresh["error"].startswith("connect_timeout")


def test_locust_drives_sixty_streams_and_says_whose_clock_it_was(triton, locust, tmp_path):
    done = locust.run(
        "chat", "-H", f"grpc://{host(triton)}", "--protocol", "kserve-grpc", "-u", "60", "-r", "60",
        "-t", "4s", "--output-tokens", "6", "--model", "llm", "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = open_run(tmp_path / "run")
    assert run.manifest["load"]["protocol"] == "kserve-grpc"
    assert run.manifest["engine"]["model"] == "llm"
    assert run.summary["client"]["max_in_flight"] == 60
    ok = run.records.filter(pc.equal(run.records.column("status"), "ok")).to_pylist()
    assert len(ok) >= 60
    assert {(row["output_tokens"], row["token_source"], row["clock"]) for row in ok} == {
        (6, "usage", "user")
    }
    assert all(row["prompt_tokens"] and row["http_status"] is None for row in ok)


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_texts_are_classified_over_either_transport(triton, locust, tmp_path, transport):
    url = host(triton) if transport == "grpc" else triton.base_url
    done = locust.run(
        "classify", "-H", url, "-u", "4", "-r", "4", "-t", "2s", "--transport", transport,
        "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    load = open_run(tmp_path / "run").manifest["load"]
    assert (load["protocol"], load["transport"]) == ("kserve-infer", transport)
    rows = open_run(tmp_path / "run").records.to_pylist()
    ended = [row for row in rows if row["status"] != "cancelled"]
    assert len(ended) > 10
    said = ("status", "chunks", "token_source", "clock")
    clock = "user" if transport == "grpc" else "kernel"
    assert {tuple(row[name] for name in said) for row in ended} == {("ok", 1, "none", clock)}


def refused(locust, tmp_path, *flags) -> str:
    done = locust.run("chat", "-t", "2s", "--run-dir", str(tmp_path / "run"), *flags)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
    return done.stderr


def test_the_other_port_is_named_either_way(triton, locust, tmp_path):
    said = refused(
        locust, tmp_path, "-H", triton.base_url, "--protocol", "kserve-grpc", "--model", "llm"
    )
    assert "is no gRPC port" in said and "It does answer --protocol kserve-generate." in said
    said = refused(
        locust, tmp_path, "-H", f"http://{host(triton)}", "--protocol", "kserve-generate"
    )
    assert "is a gRPC port" in said and "--protocol kserve-grpc speaks with it" in said


def test_a_model_that_is_not_there_is_named_with_those_that_are(triton, locust, tmp_path):
    said = refused(
        locust, tmp_path, "-H", host(triton), "--protocol", "kserve-grpc", "--model", "m"
    )
    assert "has no model 'm'; it has the models llm, text_classifier" in said


def test_a_model_that_continues_no_text_is_told_by_its_inputs(triton, locust, tmp_path):
    said = refused(
        locust, tmp_path, "-H", host(triton), "--protocol", "kserve-grpc",
        "--model", "text_classifier",
    )  # fmt: skip
    assert "takes input_ids, attention_mask, and no text_input" in said


def test_a_server_killed_in_the_middle_is_a_disconnect(triton):
    """The last test here: it leaves no server behind."""
    pids = [pid for pid, _ in triton.members]
    lost, gone = asked(triton, ask(900, after=3, signal=signal.SIGKILL, pids=pids), ask(2))
    assert lost["status"] == "stream_error"
    assert lost["error"].startswith("disconnected")
    assert 3 <= lost["chunks"] < 900
    assert gone["error"].startswith("connect_refused")
