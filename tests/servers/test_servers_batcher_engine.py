"""The real application, over HTTP: its three patterns, its bounds, what it leaves and keeps."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from servers import instances, supervisor
from servers.fastapi_batcher import ENGINE
from servers.fastapi_batcher.launch import unfinished_jobs
from servers.instances import Instance

pytestmark = pytest.mark.engine
LONG = {"input_ids": [101, *range(3000, 3080), 102]}
TIMEOUT_S = 60.0


def quiet(_: object) -> None:
    return None


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Instance]]:
    """Starts instances in a home of this module's own; all are stopped at its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(tmp_path_factory.mktemp("batcher-home")))

        def up(name: str, **settings: object) -> Instance:
            return supervisor.up(ENGINE, name=name, settings=settings, warm=False, say=quiet)

        yield up
        supervisor.down(say=quiet)


@pytest.fixture(scope="module")
def usual(start) -> Instance:
    """Small batches, so that a list of requests takes several."""
    return start("usual", max_batch_size=8)


@pytest.fixture(scope="module")
def patient(start) -> Instance:
    """A batch leaves when it is full or after ten seconds: no test here lets one wait so long."""
    return start("patient", max_batch_size=8, max_queue_delay_us=10_000_000, max_queue_size=4)


@pytest.fixture(scope="module")
def naive(start) -> Instance:
    """A slow tick, so that what comes within one shares a batch."""
    return start("naive", batcher="polling", poll_interval_us=300_000, max_queue_size=1)


def ask(instance: Instance, path: str = "/classify", **body: object) -> httpx.Response:
    return httpx.post(f"{instance.base_url}{path}", json=body, timeout=TIMEOUT_S)


def at_once(instance: Instance, bodies: list[dict]) -> list[httpx.Response]:
    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(lambda body: ask(instance, **body), bodies))


def samples(instance: Instance) -> dict[tuple[str, frozenset], float]:
    text = httpx.get(str(instance.metrics_url), timeout=60).text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(instance: Instance, name: str, **labels: str) -> float:
    return samples(instance).get((name, frozenset(labels.items())), 0.0)


def waiting(instance: Instance) -> float:
    return value(instance, "batcher_requests_waiting")


def wait_for(holds: Callable[[], bool], what: str) -> None:
    """Look until it is so; half a minute is far beyond what any of these take."""
    deadline = time.monotonic() + 30
    while not holds():
        if time.monotonic() > deadline:
            pytest.fail(f"after half a minute still not: {what}")
        time.sleep(0.02)


class Caller:
    """A client whose socket we hold: it can leave, or ask and read later."""

    def __init__(self, instance: Instance, path: str, body: dict) -> None:
        self.socket = socket.create_connection(("127.0.0.1", instance.ports["http"]))
        content = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n"
        self.socket.sendall(head.encode() + content)

    def leave(self) -> None:
        self.socket.close()

    def status(self) -> int:
        self.socket.settimeout(TIMEOUT_S)
        return int(self.socket.recv(65_536).split()[1])


def test_a_text_and_its_token_ids_get_the_same_answer(usual):
    by_text = ask(usual, text="What a lovely day.").json()
    by_ids = ask(usual, input_ids=[101, 2054, 1037, 8403, 2154, 1012, 102]).json()
    assert by_text == by_ids
    assert by_text["label"] == "positive"
    assert by_text["logits"][1] > by_text["logits"][0]
    assert ask(usual, text="I hate this horrible film.").json()["label"] == "negative"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "either `input_ids` or `text`"),
        ({"text": " "}, "with something in it"),
        ({"input_ids": []}, "at least one token"),
        ({"input_ids": [101, 30522]}, "30522"),
        ({"input_ids": [1.5]}, "whole numbers"),
        ({"input_ids": [101] * 257}, "257 tokens"),
        ({"text": "so " * 400}, "402 tokens"),
        ({"text": "so " * 2000}, "6000 characters"),
    ],
)
def test_a_bad_request_is_a_400_that_says_why(usual, body, words):
    answer = ask(usual, **body)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_a_full_queue_and_a_stop_are_exported_before_there_was_one(usual):
    """Else a query for their rate misses the first of them."""
    asked = {"route": "/classify", "method": "POST"}
    exported = samples(usual)
    for status in ("429", "503"):
        assert exported["model_requests_total", frozenset({**asked, "status": status}.items())] == 0


def test_what_is_no_json_and_what_is_nowhere_are_errors_in_json(usual):
    answer = httpx.post(f"{usual.base_url}/classify", content=b"{", timeout=60)
    assert (answer.status_code, "not JSON" in answer.json()["error"]) == (400, True)
    assert httpx.get(f"{usual.base_url}/classify", timeout=60).json() == {
        "error": "Method Not Allowed"
    }
    assert httpx.get(f"{usual.base_url}/nowhere", timeout=60).json() == {"error": "Not Found"}


@pytest.mark.parametrize("whole", [True, False], ids=["length known", "chunked"])
def test_a_body_beyond_the_bound_is_refused_in_json_and_counted_as_that(usual, whole):
    def counted() -> float:
        return value(usual, "model_requests_total", method="POST", route="/classify", status="413")

    before = counted()
    body = b" " * (5 << 20)
    answer = httpx.post(
        f"{usual.base_url}/classify", content=body if whole else iter([body]), timeout=60
    )
    assert answer.status_code == 413
    assert "4194304 bytes" in answer.json()["error"]
    wait_for(lambda: counted() == before + 1, "a 413 in the metrics")


def test_a_bad_request_does_not_harm_those_who_come_with_it(usual):
    bodies = [{"text": f"number {n}"} for n in range(8)]
    bodies[3] = {"input_ids": [99_999]}
    assert [a.status_code for a in at_once(usual, bodies)] == [200] * 3 + [400] + [200] * 4


def test_requests_that_come_together_are_computed_together(usual):
    before = samples(usual)
    assert all(one.status_code == 200 for one in at_once(usual, [{"text": "so"}] * 64))
    after = samples(usual)

    def grown(name: str) -> float:
        return after[name, frozenset()] - before[name, frozenset()]

    assert grown("batcher_batch_size_sum") == 64
    assert 8 <= grown("batcher_batch_size_count") < 64


def test_every_declared_metric_is_exported_as_declared(usual, patient):
    ask(usual, text="so")
    ask(usual)
    text = httpx.get(str(usual.metrics_url), timeout=60).text
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for metric in ENGINE.metrics:
        family = families[metric.name.removesuffix("_total")]
        assert family.type == metric.kind
        for label in metric.selector:
            assert all(label in sample.labels for sample in family.samples)
    ok = value(usual, "model_requests_total", route="/classify", method="POST", status="200")
    assert ok > 0
    assert "gpu_memory_used_bytes" not in families or families["gpu_memory_used_bytes"].samples


def test_a_streams_first_answers_come_before_its_last_are_computed(usual):
    body = {"requests": [LONG] * 64}
    url = f"{usual.base_url}/classify/stream"
    with httpx.stream("POST", url, json=body, timeout=TIMEOUT_S) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = (line.removeprefix("data: ") for line in answer.iter_lines() if line)
        first = next(lines)
        assert waiting(usual) > 0
        assert value(usual, "model_active_requests", route="/classify/stream", method="POST") == 1
        *later, end = list(lines)
    assert end == "[DONE]"
    indexes = [json.loads(line)["index"] for line in (first, *later)]
    assert sorted(indexes) == list(range(64))
    assert [index // 8 for index in indexes] == sorted(index // 8 for index in indexes)


def test_in_a_stream_a_bad_request_is_an_event_of_its_own(usual):
    answer = ask(usual, "/classify/stream", requests=[{"text": "fine"}, {"text": ""}])
    events = [json.loads(line[6:]) for line in answer.text.split("\n\n")[:-2]]
    by_index = {event.pop("index"): event for event in events}
    assert by_index[0]["label"] in ("positive", "negative")
    assert list(by_index[1]) == ["error"]


@pytest.mark.parametrize("path", ["/classify/stream", "/jobs"])
@pytest.mark.parametrize("requests", [None, [], ["text"], [{"text": "x"}] * 257])
def test_a_list_that_is_none_is_refused(usual, path, requests):
    answer = ask(usual, path, requests=requests)
    assert answer.status_code == 400
    assert "requests" in answer.json()["error"]


def test_the_client_of_a_stream_that_leaves_empties_the_queue(usual):
    caller = Caller(usual, "/classify/stream", {"requests": [LONG] * 200})
    wait_for(lambda: waiting(usual) > 0, "the stream's requests in the queue")
    caller.leave()
    wait_for(lambda: waiting(usual) == 0, "an empty queue")
    labels = {"route": "/classify/stream", "method": "POST"}
    gone = labels | {"status": "client_disconnected"}
    wait_for(lambda: value(usual, "model_requests_total", **gone) == 1, "the disconnect counted")
    assert value(usual, "model_active_requests", **labels) == 0


def test_a_client_that_leaves_the_queue_is_never_computed(patient):
    before = value(patient, "batcher_batch_size_count")
    callers = [Caller(patient, "/classify", {"text": "so"}) for _ in range(3)]
    wait_for(lambda: waiting(patient) == 3, "three in the queue")
    for caller in callers:
        caller.leave()
    wait_for(lambda: waiting(patient) == 0, "an empty queue")
    assert value(patient, "batcher_batch_size_count") == before
    labels = {"route": "/classify", "method": "POST", "status": "client_disconnected"}
    wait_for(lambda: value(patient, "model_requests_total", **labels) == 3, "three counted")


def test_a_full_queue_answers_429_at_once_and_keeps_whom_it_has(patient):
    callers = [Caller(patient, "/classify", {"text": "so"}) for _ in range(4)]
    wait_for(lambda: waiting(patient) == 4, "a full queue")
    refused = ask(patient, text="one too many")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    listed = ask(patient, "/classify/stream", requests=[{"text": "so"}])
    assert listed.status_code == 429
    assert waiting(patient) == 4
    for caller in callers:
        caller.leave()
    wait_for(lambda: waiting(patient) == 0, "an empty queue")


def test_at_sigterm_what_was_accepted_is_answered(start):
    instance = start("drained", max_queue_delay_us=10_000_000)
    callers = [Caller(instance, "/classify", {"text": "so"}) for _ in range(5)]
    wait_for(lambda: waiting(instance) == 5, "five in the queue")
    os.kill(instance.pid, signal.SIGTERM)
    assert [caller.status() for caller in callers] == [200] * 5
    wait_for(lambda: not instances.members(instance), "the end of the program")


def test_while_it_drains_new_requests_and_jobs_are_refused_and_it_is_not_healthy(start):
    instance = start("draining", max_batch_size=16)
    caller = Caller(instance, "/classify/stream", {"requests": [LONG] * 128})
    wait_for(lambda: waiting(instance) > 0, "requests in the queue")
    os.kill(instance.pid, signal.SIGTERM)
    wait_for(lambda: ask(instance, text="late").status_code == 503, "a refusal")
    assert ask(instance, "/jobs", requests=[{"text": "late"}]).status_code == 503
    assert httpx.get(f"{instance.base_url}/health", timeout=60).status_code == 503
    assert caller.status() == 200
    caller.socket.settimeout(TIMEOUT_S)
    got = b""
    while piece := caller.socket.recv(65_536):
        got += piece
    assert b"[DONE]" in got
    wait_for(lambda: not instances.members(instance), "the end of the program")


def results(instance: Instance, job: str) -> list[dict]:
    """The results of a job, polled for."""
    found: list[dict] = []

    def done() -> bool:
        document = httpx.get(f"{instance.base_url}/jobs/{job}", timeout=60).json()
        found[:] = document.get("results", [])
        return document["status"] == "done"

    wait_for(done, f"job {job} done")
    return found


def test_a_job_is_accepted_at_once_and_its_results_are_polled_for(usual):
    accepted = ask(usual, "/jobs", requests=[{"text": "great"}, {"text": ""}])
    assert accepted.status_code == 202
    assert accepted.headers["location"] == f"/jobs/{accepted.json()['id']}"
    good, bad = results(usual, accepted.json()["id"])
    assert good["label"] == "positive"
    assert "something in it" in bad["error"]


def test_an_unknown_job_is_a_404(usual):
    assert httpx.get(f"{usual.base_url}/jobs/none", timeout=60).status_code == 404


def test_results_survive_a_restart(start):
    instance = start("restarted")
    job = ask(instance, "/jobs", requests=[{"text": "great"}]).json()["id"]
    before = results(instance, job)
    supervisor.down("restarted", say=quiet)
    assert results(start("restarted"), job) == before


def test_every_accepted_job_survives_kill_9_and_is_computed(start):
    """Some are under way and others wait when the server is killed, and one was done before."""
    instance = start("killed", max_batch_size=64, max_queue_delay_us=10_000_000)
    done = ask(instance, "/jobs", requests=[{"text": "a full batch"}] * 64).json()["id"]
    before = results(instance, done)
    # Too few for a batch: they would wait for its deadline.
    jobs = [ask(instance, "/jobs", requests=[{"text": "so"}] * 2).json()["id"] for _ in range(12)]

    def states() -> list[str]:
        return [
            httpx.get(f"{instance.base_url}/jobs/{job}", timeout=60).json()["status"]
            for job in jobs
        ]

    wait_for(lambda: states() == ["running"] * 8 + ["waiting"] * 4, "eight jobs under way")
    os.kill(instance.pid, signal.SIGKILL)
    wait_for(lambda: not instances.members(instance), "its death")
    assert supervisor.down("killed", say=quiet) == []
    # The lab says so before it starts it anew.
    file = Path(instance.log).with_name("jobs.sqlite3")
    assert unfinished_jobs(file) == 12
    again = start("killed")
    assert [len(results(again, job)) for job in jobs] == [2] * 12
    assert results(again, done) == before
    assert unfinished_jobs(file) == 0


def test_jobs_never_turn_away_those_at_the_door(start):
    """Also at a start, when those that the last server left are computed: its warm-up passes."""
    instance = start("crowded", max_batch_size=4, max_queue_size=8)
    for _ in range(8):
        ask(instance, "/jobs", requests=[LONG] * 64)
    assert [ask(instance, text="so").status_code for _ in range(20)] == [200] * 20
    assert value(instance, "batcher_jobs", status="done") < 8


def test_naive_one_bad_request_fails_all_that_came_with_it(naive):
    bodies = [{"text": "fine"}, {"text": "fine"}, {"text": ""}]
    tries = ([answer.status_code for answer in at_once(naive, bodies)] for _ in range(5))
    # A tick may fall between the three.
    assert any(codes == [400] * 3 for codes in tries)


def test_naive_takes_whatever_comes_and_computes_for_those_who_left(naive):
    before = value(naive, "batcher_batch_size_sum")
    callers = [Caller(naive, "/classify", {"text": "so"}) for _ in range(40)]
    for caller in callers:
        caller.leave()
    wait_for(lambda: value(naive, "batcher_batch_size_sum") == before + 40, "all 40 computed")


def test_it_says_what_it_is_made_of(usual):
    assert usual.version.startswith("FastAPI 0.")
    assert "onnxruntime 1." in usual.version
