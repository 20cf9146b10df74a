"""A real BentoML serving the bento that was built for it: what is declared about it is true of it.

One server for most of this file, started anew with other settings near its end.
"""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from servers import instances, models, paths, supervisor
from servers.bentoml import ENGINE
from servers.bentoml.metrics import METRICS
from servers.instances import Instance

pytestmark = pytest.mark.engine
REFERENCE = Path(__file__).with_name("triton_reference.py")
TEXTS = [[101, *range(2000 + 7 * n, 2003 + 9 * n), 102] for n in range(32)]
BATCH = "bentoml_service_adaptive_batch_size"
TWO = {"max_batch_size": 1, "instances": 2}


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Instance]]:
    """Starts the one instance, in a home of this module's own; stopped at its end."""
    folder = tmp_path_factory.mktemp("bentoml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(folder / "lab"))
        patch.setenv("HOME", str(folder))

        def start(**settings: object) -> Instance:
            return supervisor.up(ENGINE, settings=settings, replace_other=True, say=lambda _: None)

        yield start
        supervisor.down(say=lambda _: None)


@pytest.fixture(scope="module")
def server(started: Callable[..., Instance]) -> Instance:
    return started()


def classify(server: Instance, body: object) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(f"{server.base_url}/classify", content=content, timeout=60)


def at_once(server: Instance, bodies: list[object]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(lambda body: classify(server, body), bodies))


def samples(server: Instance) -> dict[str, float]:
    """Every sample, those that differ in labels added up."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(
        httpx.get(str(server.metrics_url), timeout=60).text
    ):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def mean_batch(server: Instance, work: Callable[[], object]) -> float:
    """How many requests a batch held on average while `work` was done."""
    before = samples(server)
    work()
    after = samples(server)
    requests, batches = (after[f"{BATCH}_{x}"] - before[f"{BATCH}_{x}"] for x in ("sum", "count"))
    return requests / batches


def is_running(pid: int) -> bool:
    """A process that has ended and that nobody has asked about yet does not run."""
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_it_says_which_version_runs(server):
    pinned = (Path(ENGINE.environment.folder) / "requirements.txt").read_text()
    assert f"bentoml=={server.version} " in pinned


def test_what_is_served_is_the_bento_that_was_built(server):
    bento = paths.workspace(server.name) / "home" / "bentos" / "classifier" / "lab"
    facts = yaml.safe_load((bento / "bento.yaml").read_text())
    assert (facts["name"], facts["version"]) == ("classifier", "lab")
    assert facts["args"]["max_batch_size"] == "64"
    assert (bento / "src" / "model" / "model.onnx").stat().st_size > 1_000_000
    workers = [psutil.Process(pid) for pid, _ in server.members if pid != server.pid]
    assert any(Path(worker.cwd()) == bento / "src" for worker in workers)
    assert httpx.get(f"{server.base_url}/docs.json", timeout=60).json()["info"]["version"] == "lab"


def test_the_answers_are_onnxruntimes_batched_or_single(server):
    python = paths.environments() / "bentoml" / "bin" / "python"
    graph = models.classifier(lambda _: None) / "model.onnx"
    expected = json.loads(
        subprocess.run(
            [python, REFERENCE, "classifier", graph], input=json.dumps(TEXTS),
            env={**os.environ, "ORT_DISABLE_TELEMETRY": "1"},
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout
    )  # fmt: skip
    bodies: list[object] = [{"input_ids": ids} for ids in TEXTS]
    for answers in (at_once(server, bodies), [classify(server, body) for body in bodies[:4]]):
        for answer, logits in zip(answers, expected, strict=False):
            assert answer.status_code == 200
            found = answer.json()
            assert found["logits"] == pytest.approx(logits, abs=2e-3)
            assert found["label"] == ("positive" if logits[1] > logits[0] else "negative")


def test_text_is_tokenized_in_the_server(server):
    labels = [
        classify(server, {"text": text}).json()["label"]
        for text in ("What a wonderful day!", "This was a terrible waste of time.")
    ]
    assert labels == ["positive", "negative"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"not JSON", "not JSON"),
        ({}, "either `input_ids` or `text`"),
        ({"text": " "}, "something in it"),
        ({"input_ids": []}, "at least one"),
        ({"input_ids": [101, "x"]}, "'x'"),
        ({"input_ids": [101, 30522]}, "30522"),
        ({"input_ids": [101] * 257}, "257 tokens"),
    ],
)
def test_a_bad_request_is_refused_by_name_and_its_neighbours_are_answered(server, body, said):
    good: list[object] = [{"input_ids": ids} for ids in TEXTS[:7]]
    *answers, refused = at_once(server, [*good, body])
    assert refused.status_code == 400
    assert said in refused.json()["error"]
    assert [answer.status_code for answer in answers] == [200] * 7


def test_lone_requests_are_batches_of_one_and_many_at_once_are_joined(server):
    bodies: list[object] = [{"input_ids": ids} for ids in TEXTS]
    assert mean_batch(server, lambda: [classify(server, body) for body in bodies[:8]]) == 1
    # How many meet is the clients' threads' doing too, on a machine that has more to do.
    assert mean_batch(server, lambda: [at_once(server, bodies) for _ in range(5)]) > 1.1


def test_every_declared_metric_is_there_with_its_labels(server):
    text = httpx.get(str(server.metrics_url), timeout=60).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for metric in METRICS:
        family = families[metric.name.removesuffix("_total")]
        assert family.type == metric.kind
        labels = [sample.labels for sample in family.samples]
        for label, values in metric.selector.items():
            wanted = (values,) if isinstance(values, str) else values
            assert any(one[label] in wanted for one in labels), metric.concept


def test_it_listens_on_this_machine_only_and_leaves_the_users_home_alone(server):
    listening = [
        connection.laddr.ip
        for pid, _ in server.members
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert set(listening) == {"127.0.0.1"}
    assert {entry.name for entry in Path(os.environ["HOME"]).iterdir()} == {"lab"}


def test_a_latency_limit_that_is_too_low_refuses_and_delays_nobody_for_it(started):
    """It is no delay: a lone request is answered whatever the limit."""
    strict = started(max_latency_ms=1)
    bodies: list[object] = [{"input_ids": ids} for ids in TEXTS]
    assert classify(strict, bodies[0]).status_code == 200
    # It learns from its first requests; after them it gives up what it takes to be late.
    answers = [answer.status_code for _ in range(4) for answer in at_once(strict, bodies)]
    assert set(answers) == {200, 503}


def test_batching_can_be_off_and_two_workers_share_the_requests(started):
    two = started(**TWO)
    answers = at_once(two, [{"input_ids": ids} for ids in TEXTS])
    assert {answer.status_code for answer in answers} == {200}
    assert f"{BATCH}_sum" not in samples(two)
    words = [" ".join(psutil.Process(pid).cmdline()) for pid, _ in two.members]
    assert sum("_bentoml_impl.worker" in one for one in words) == 2


def test_after_its_first_process_is_killed_down_leaves_nothing(started):
    server = started(**TWO)
    workers = [pid for pid, _ in server.members if pid != server.pid]
    assert len(workers) == 2
    os.kill(server.pid, signal.SIGKILL)
    assert supervisor.down(server.name, say=lambda _: None) == [server.name]
    assert instances.members(server) == []
    assert not any(is_running(pid) for pid in workers)
    with pytest.raises(httpx.ConnectError):
        httpx.get(server.ready_url, timeout=60)
