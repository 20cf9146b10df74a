"""A real Ray Serve with the lab's classifier: what is declared about it is true of it.

One server for all of this file, as the pipeline with its two variants and autoscaling on. The
direct form, and what every engine owes (ports, kill -9, batches under load), is tested with the
others.
"""

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest
from eventually import eventually
from prometheus_client.parser import text_string_to_metric_families

from servers import instances, supervisor
from servers.errors import ServerError
from servers.instances import Instance
from servers.ray_serve import ENGINE
from servers.ray_serve.metrics import METRICS

pytestmark = pytest.mark.engine

GOOD = {"input_ids": [101, 2307, 3185, 102]}
SETTINGS = {
    "pipeline": True,
    "ab_share": 0.5,
    "b_tokens": 4,
    "max_queue_delay_us": 100_000,
    "autoscale": True,
    "target_ongoing_requests": 2.0,
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(tmp_path_factory.mktemp("ray")))
        try:
            yield supervisor.up("ray-serve", settings=SETTINGS, warm=False)
        finally:
            supervisor.down(say=lambda _: None)


def ask(server: Instance, body: object) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return httpx.post(f"{server.base_url}/classify", content=content, timeout=60)


def scrape(server: Instance, concept: str) -> list[tuple[dict[str, str], float]]:
    """The samples of a declared counter or gauge that its selector keeps."""
    (metric,) = (one for one in METRICS if one.concept == concept)
    wanted = {k: (v,) if isinstance(v, str) else v for k, v in metric.selector.items()}
    lines = httpx.get(str(server.metrics_url), timeout=60).text.splitlines()
    # Ray exports half a megabyte; to parse all of it takes a second.
    text = "".join(f"{line}\n" for line in lines if line.startswith(metric.name))
    return [
        (sample.labels, sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == metric.name and all(sample.labels.get(k) in v for k, v in wanted.items())
    ]


def value(server: Instance, concept: str) -> float:
    return sum(value for _, value in scrape(server, concept))


def settled(server: Instance, concept: str) -> float:
    """A counter's value when what is on its way to `/metrics` has come there."""
    seen: list[float] = []

    def rests() -> bool:
        seen.append(value(server, concept))
        return len(seen) > 8 and len(set(seen[-8:])) == 1

    assert eventually(rests)
    return seen[-1]


def test_it_says_which_version_runs(server):
    pinned = (Path(ENGINE.environment.folder) / "requirements.txt").read_text()
    assert f"ray[serve]=={server.version} " in pinned or f"ray=={server.version} " in pinned


def test_every_process_of_the_node_is_known_as_the_instance_s(server):
    """Ray renames its workers, which overwrites the mark they inherit: their session tells."""
    of_session = set()
    for pid in psutil.pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == server.pid:
                of_session.add(pid)
    members = {member.pid: member.process().name() for member in instances.members(server)}
    assert of_session <= set(members)
    for part in ("gcs_server", "raylet", "ray::"):
        assert any(name.startswith(part) for name in members.values())


def test_its_files_are_in_its_folder_and_none_in_the_user_s_home(server):
    env = psutil.Process(server.pid).environ()
    folder = Path(env["RAY_TMPDIR"])
    assert env["HOME"] == env["TMPDIR"] == env["RAY_TMPDIR"]
    # Where the lab's own path is too long for a socket, it is removed with the instance.
    outside = not folder.is_relative_to(Path(server.log).parent)
    assert server.cleanup == (("rm", "-rf", "--", str(folder)) if outside else None)
    assert (folder / "session" / "sockets" / "raylet").is_socket()


def test_each_variant_answers_its_share_and_is_named(server):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: ask(server, GOOD).json(), range(60)))
    assert {answer["label"] for answer in answers} == {"positive"}
    by_variant = {v: sum(a["variant"] == v for a in answers) for v in ("a", "b")}
    # 60 tosses of a fair coin: outside this in one of 10^8 runs.
    assert 9 <= by_variant["a"] <= 51
    assert sum(by_variant.values()) == 60

    def counted() -> dict[str, float]:
        return {labels["variant"]: value for labels, value in scrape(server, "variant_requests")}

    assert eventually(lambda: counted() == by_variant)


def test_b_reads_only_the_beginning_of_a_text(server):
    head = [101, 2307, 3185, 2204]
    answers: dict[str, set[str]] = {"a": set(), "b": set()}
    for tail in ([102], [9202, 6659, 9643, 5409, 102]):
        wanted = {"a", "b"}
        while wanted:
            answer = ask(server, {"input_ids": head + tail}).json()
            wanted.discard(answer["variant"])
            answers[answer["variant"]].add(json.dumps(answer["logits"]))
    assert len(answers["b"]) == 1
    assert len(answers["a"]) == 2


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({}, "either"),
        ({"input_ids": []}, "at least one"),
        ({"input_ids": [101, 30522]}, "30522"),
        ({"input_ids": [101] * 257}, "257 tokens"),
        ({"text": ""}, "something in it"),
        (b"{", "not JSON"),
    ],
)
def test_a_wrong_request_is_a_400_that_names_its_fault(server, body, named):
    answer = ask(server, body)
    assert answer.status_code == 400
    assert named in answer.json()["error"]


def test_other_paths_and_methods_are_refused(server):
    assert httpx.get(f"{server.base_url}/classify", timeout=60).status_code == 405
    assert httpx.post(f"{server.base_url}/generate", timeout=60).status_code == 404


def test_requests_are_computed_together_and_a_wrong_one_fails_alone(server):
    texts = settled(server, "classify_inferences")
    batches = settled(server, "classify_executions")
    bodies = [GOOD] * 16 + [{"input_ids": [30522]}] + [{"input_ids": [101, *range(2000, 2200)]}]
    with ThreadPoolExecutor(len(bodies)) as pool:
        answers = list(pool.map(lambda body: ask(server, body), bodies))
    assert [answer.status_code for answer in answers] == [200] * 16 + [400, 200]
    assert eventually(lambda: value(server, "classify_inferences") - texts == 17)
    assert value(server, "classify_executions") - batches < 17


def test_replicas_come_under_load_and_the_metrics_show_it(server):
    # What was asked before may have brought some already; idle, they go after 15 s.
    assert eventually(lambda: value(server, "replicas") == 2)
    enough = threading.Event()

    def load(_: int) -> None:
        while not enough.is_set():
            ask(server, GOOD)

    with ThreadPoolExecutor(12) as pool:
        pool.map(load, range(12))
        try:
            assert eventually(lambda: value(server, "replicas") >= 3)
            assert value(server, "replicas_target") >= 3
        finally:
            enough.set()


def test_requests_are_counted_by_how_they_ended(server):
    before = {one: settled(server, one) for one in ("requests_ok", "requests_refused")}
    ask(server, GOOD)
    ask(server, {})
    assert eventually(lambda: all(value(server, one) == before[one] + 1 for one in before))


def test_every_declared_metric_is_exported_as_declared(server):
    text = httpx.get(str(server.metrics_url), timeout=60).text
    exported = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE "))
    assert {metric.name: exported.get(metric.name) for metric in METRICS} == {
        metric.name: metric.kind for metric in METRICS
    }


def test_one_that_is_stopped_before_it_serves_does_not_drain(server):
    """Ray's own answer to SIGTERM waits half a minute for requests that there cannot be yet."""
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(supervisor.up, ENGINE, name="early", warm=False)
        assert eventually(lambda: "raylet" in parts("early"))
        early = instances.load("early")
        os.kill(early.pid, signal.SIGTERM)
        assert eventually(lambda: not instances.leader_alive(early), 20)
        with pytest.raises(ServerError, match="ended before it was ready"):
            starting.result()
    assert parts("early") == set()


def parts(name: str) -> set[str]:
    """The names of the instance's processes."""
    instance = instances.load(name)
    found = instances.members(instance) if instance is not None else []
    return {process.name() for one in found if (process := one.process()) is not None}


def test_a_node_that_loses_a_part_of_it_ends_and_says_which(server):
    """Without its GCS it would still answer for a while, and hang when it is stopped."""
    found = (member.process() for member in instances.members(server))
    (gcs,) = (process for process in found if process and process.name() == "gcs_server")
    gcs.kill()
    assert eventually(lambda: not instances.leader_alive(server), 20)
    assert "Ray's gcs_server has ended; its logs are in" in Path(server.log).read_text()
    supervisor.down("ray-serve", say=lambda _: None)
    assert instances.members(server) == []
