"""A real TorchServe with the lab's classifier: what is declared about it is true of it.

One server for all of this file. What every engine owes (ports, kill -9, batches under load) is
tested with the others.
"""

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from eventually import eventually
from prometheus_client.parser import text_string_to_metric_families

from servers import supervisor
from servers.instances import Instance
from servers.torchserve import ENGINE
from servers.torchserve.metrics import METRICS

pytestmark = pytest.mark.engine

GOOD = {"input_ids": [101, 2307, 3185, 102]}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(tmp_path_factory.mktemp("torchserve")))
        try:
            yield supervisor.up("torchserve", settings={"max_queue_delay_us": 300_000}, warm=False)
        finally:
            supervisor.down(say=lambda _: None)


def ask(server: Instance, body: object) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(f"{server.base_url}/classify", content=content, timeout=60)


def counted(server: Instance, concept: str, suffix: str = "") -> float:
    (metric,) = (one for one in METRICS if one.concept == concept)
    # The parser gives every counter a `_total`, also those that have none.
    names = {metric.name + suffix, f"{metric.name}_total"}
    families = text_string_to_metric_families(httpx.get(str(server.metrics_url), timeout=60).text)
    return sum(
        sample.value for family in families for sample in family.samples if sample.name in names
    )


def test_it_says_which_version_runs_and_that_it_is_archived(server):
    pinned = (Path(ENGINE.environment.folder) / "requirements.txt").read_text()
    assert f"torchserve=={server.version} " in pinned
    assert "archived" in server.title


def test_it_is_ready_only_when_its_worker_has_loaded_the_model(server):
    worker = httpx.get(server.ready_url, timeout=60).json()[0]["workers"][0]
    assert worker["status"] == "READY"


def test_texts_and_token_ids_are_answered_alike(server):
    good = ask(server, {"text": "A wonderful film, I loved it."})
    bad = ask(server, {"text": "Horrible, a complete waste of time."})
    assert (good.json()["label"], bad.json()["label"]) == ("positive", "negative")
    assert good.headers["content-type"] == "application/json"
    ids = ask(server, {"input_ids": [101, 1037, 6919, 2143, 1010, 1045, 3866, 2009, 1012, 102]})
    assert ids.json()["logits"] == pytest.approx(good.json()["logits"], abs=1e-4)


def test_the_model_is_an_archive_made_by_torchserve_s_own_archiver(server):
    workspace = Path(server.log).parent
    names = subprocess.run(
        ["python3", "-m", "zipfile", "-l", str(workspace / "store" / "classify.mar")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in ("MAR-INF/MANIFEST.json", "handler.py", "model.onnx", "tokenizer.json"):
        assert name in names


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "either"),
        ({**GOOD, "text": "both"}, "either"),
        ({"input_ids": []}, "at least one"),
        ({"input_ids": "101"}, "must be a list"),
        ({"input_ids": [101, 30522]}, "30522"),
        ({"input_ids": [101, -1]}, "-1"),
        ({"input_ids": [101, True]}, "True"),
        ({"input_ids": [101, 1.5]}, "1.5"),
        ({"input_ids": [101] * 257}, "257 tokens"),
        ({"text": " "}, "something in it"),
        ({"text": "word " * 300}, "302 tokens"),
        ([1], "no object"),
        (b"\xff", "not JSON"),
        (b"", "not JSON"),
    ],
)
def test_a_wrong_request_is_a_400_that_names_its_fault(server, body, named):
    answer = ask(server, body)
    assert answer.status_code == 400
    assert named in answer.json()["error"]


def test_requests_wait_for_each_other_and_a_wrong_one_fails_alone(server):
    alone = ask(server, GOOD).json()["logits"]
    batches = counted(server, "batch_size", "_count"), counted(server, "batch_size", "_sum")
    bodies = [GOOD] * 5 + [{"input_ids": [30522]}] + [{"input_ids": [101, *range(2000, 2200)]}]
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda body: ask(server, body), bodies))
    assert [answer.status_code for answer in answers] == [200] * 5 + [400, 200]
    # int8 activations are scaled by what else is in the batch: alike, not the same.
    for answer in answers[:5]:
        assert answer.json()["label"] == "positive"
        assert answer.json()["logits"] == pytest.approx(alone, rel=0.5)
    made = counted(server, "batch_size", "_count") - batches[0]
    assert counted(server, "batch_size", "_sum") - batches[1] == 7
    assert made < 7


def test_every_declared_metric_is_exported_as_declared(server):
    text = httpx.get(str(server.metrics_url), timeout=60).text
    exported = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE "))
    assert {metric.name: exported.get(metric.name) for metric in METRICS} == {
        metric.name: metric.kind for metric in METRICS
    }


def test_requests_and_their_time_are_counted_where_the_catalogue_says(server):
    concepts = ("requests_ok", "requests_refused", "requests_failed")
    before = {concept: counted(server, concept) for concept in concepts}
    queued_us, took_us = counted(server, "queue_time"), counted(server, "e2e")
    for body in (GOOD, GOOD, {}):
        ask(server, body)

    def grown() -> dict[str, float]:
        return {concept: counted(server, concept) - before[concept] for concept in concepts}

    # Statuses are counted a moment after the answer.
    assert eventually(
        lambda: grown() == {"requests_ok": 3, "requests_refused": 1, "requests_failed": 0}
    )
    # Each was alone, so it waited for the whole delay.
    assert counted(server, "queue_time") - queued_us > 3 * 290_000
    assert counted(server, "e2e") - took_us > counted(server, "queue_time") - queued_us


def test_its_log_has_no_line_for_a_request(server):
    before = Path(server.log).read_text()
    identity = ask(server, GOOD).headers["x-request-id"]
    counted(server, "requests_ok")
    assert "classify_batch_size" not in before
    assert identity not in Path(server.log).read_text()
