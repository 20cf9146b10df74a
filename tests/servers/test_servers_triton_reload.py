"""One model of a running tritonserver changed beside the other; ragged batches; a killed stub."""

import contextlib
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest

from servers import instances, supervisor
from servers.errors import ServerError
from servers.instances import Instance
from servers.triton import ENGINE

pytestmark = pytest.mark.engine
# Also what `lab up triton` was given first: other settings are changes of these.
BASE: dict = {"max_num_seqs": 4, "dtype": "float32"}


def quiet(_: object) -> None:
    return None


def up(**settings: object) -> Instance:
    return supervisor.up(
        ENGINE, model="tiny", settings={**BASE, **settings}, replace_other=True, say=quiet
    )


@pytest.fixture(scope="module", autouse=True)
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One server for all of this module; every test changes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(tmp_path_factory.mktemp("triton-home")))
        yield up()
        supervisor.down(say=quiet)


def metric(instance: Instance, name: str, model: str) -> float:
    assert instance.metrics_url is not None
    text = httpx.get(instance.metrics_url, timeout=60).text
    found = re.search(rf'^{name}\{{model="{model}".*\}} (\S+)$', text, re.MULTILINE)
    assert found, f"{name} of {model} is not on /metrics"
    return float(found[1])


def config(instance: Instance, model: str) -> dict:
    return httpx.get(f"{instance.base_url}/v2/models/{model}/config", timeout=60).json()


def classify(instance: Instance, tokens: int) -> httpx.Response:
    ids = [101, *([2023] * (tokens - 2)), 102]
    tensors = {"input_ids": ids, "attention_mask": [1] * tokens}
    body = {
        "inputs": [
            {"name": name, "shape": [1, tokens], "datatype": "INT64", "data": data}
            for name, data in tensors.items()
        ]
    }
    url = f"{instance.base_url}/v2/models/text_classifier/infer"
    return httpx.post(url, json=body, timeout=60)


def logits(instance: Instance, tokens: int) -> list[float]:
    answer = classify(instance, tokens)
    assert answer.status_code == 200, answer.text
    return answer.json()["outputs"][0]["data"]


def stubs(instance: Instance, model: str, count: int) -> set[int]:
    """The processes of one model, once those of earlier loads have gone.

    Triton's stubs carry the model's folder in their command line.
    """
    stop = threading.Event()
    for _ in range(600):
        found = set()
        for one in psutil.Process(instance.pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if f"/{model}/" in " ".join(one.cmdline()):
                    found.add(one.pid)
        if len(found) == count:
            return found
        stop.wait(0.1)
    return pytest.fail(f"{model} has {len(found)} processes, and should have {count}")


def stream(instance: Instance, tokens: int) -> Iterator[str]:
    url = f"{instance.base_url}/v2/models/llm/generate_stream"
    body = {"text_input": "Hello", "max_tokens": tokens, "ignore_eos": True}
    with httpx.stream("POST", url, json=body, timeout=60) as answer:
        yield from (line for line in answer.iter_lines() if line)


def test_a_knob_of_the_classifier_changes_it_alone_while_the_other_streams_on(first):
    """The same process, the same stub, counters that go on, and a stream without a break."""
    before = up()
    tokens = metric(before, "llm_output_tokens_total", "llm")
    stub = stubs(before, "llm", 1)
    answers = stream(before, 600)
    next(answers)
    after = up(max_queue_delay_us=0, instances=1)
    assert metric(after, "llm_requests_running", "llm") == 1, "the stream was over: no proof"
    assert '"finish_reason":"length"' in list(answers)[-1]
    assert (after.pid, after.create_time) == (first.pid, first.create_time)
    assert stubs(after, "llm", 1) == stub
    # And some more: whatever was loaded anew is warmed up anew.
    assert metric(after, "llm_output_tokens_total", "llm") >= tokens + 600
    changed = config(after, "text_classifier")
    assert changed["dynamic_batching"]["max_queue_delay_microseconds"] == 0
    assert changed["instance_group"][0]["count"] == 1
    assert after.settings["instances"] == 1 and instances.load("triton") == after


def test_a_knob_of_the_language_model_loads_it_anew_and_the_classifier_stays(first):
    before = up()
    stub = stubs(before, "text_classifier", 2)
    after = up(max_num_seqs=2)
    assert after.pid == first.pid
    assert stubs(after, "text_classifier", 2) == stub
    assert config(after, "llm")["parameters"]["max_num_seqs"]["string_value"] == "2"
    assert '"finish_reason":"length"' in list(stream(after, 3))[-1]


def test_settings_that_the_model_refuses_leave_the_old_ones_serving(first):
    before = up()
    with pytest.raises(ServerError, match=r"this model takes 8192\. The settings it had") as e:
        up(max_model_len=100_000)
    assert "Traceback" not in str(e.value) and "model.py" not in str(e.value)
    kept = instances.load("triton")
    assert kept is not None and kept.settings == before.settings and not kept.changing
    assert '"finish_reason":"length"' in list(stream(before, 3))[-1]
    assert up().pid == first.pid


def test_a_model_is_unloaded_and_loaded_in_place(first):
    only = up(models="text_classifier")
    assert only.pid == first.pid and instances.status(only) == "running"
    assert httpx.get(f"{only.base_url}/v2/models/llm/ready", timeout=60).status_code == 400
    assert not list((supervisor.paths.workspace("triton") / "models").glob("llm"))
    both = up()
    assert both.pid == first.pid
    assert '"finish_reason":"length"' in list(stream(both, 3))[-1]


def average_batch(instance: Instance, lengths: list[int]) -> float:
    """Of 8 clients, each asking these lengths one after another, beginning at its own place."""
    names = ("nv_inference_count", "nv_inference_exec_count")
    before = [metric(instance, name, "text_classifier") for name in names]

    def one(start: int) -> None:
        for length in lengths[start:] + lengths[:start]:
            assert classify(instance, length).status_code == 200

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(8)))
    after = [metric(instance, name, "text_classifier") for name in names]
    inferences, executions = (new - old for new, old in zip(after, before, strict=True))
    assert inferences == 8 * len(lengths)
    return inferences / executions


def test_texts_of_different_lengths_share_a_batch_only_where_it_may_be_ragged():
    varied = [4, 12, 20, 28, 36, 44, 52, 60]
    settings = {"instances": 1, "preferred_batch_sizes": (8,), "max_queue_delay_us": 300_000}
    assert average_batch(up(**settings, allow_ragged_batch=True), varied) > 4
    strict = up(**settings, allow_ragged_batch=False)
    # Clients ask in step at first, later as they happen to meet.
    assert average_batch(strict, varied) < 4
    assert average_batch(strict, [16] * 8) > 4


def test_what_stands_beside_a_text_in_a_ragged_batch_does_not_change_its_answer():
    """But for the rounding of an int8 graph, which goes by the largest value in the batch."""
    one = up(instances=1, max_queue_delay_us=50_000, preferred_batch_sizes=(4,))
    lengths = [3, 9, 27, 81]
    alone = [logits(one, length) for length in lengths]
    executed = metric(one, "nv_inference_exec_count", "text_classifier")
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda length: logits(one, length), lengths))
    assert metric(one, "nv_inference_exec_count", "text_classifier") < executed + 4
    for mine, batched in zip(alone, together, strict=True):
        assert batched == pytest.approx(mine, abs=0.3)
        assert (batched[1] > batched[0]) == (mine[1] > mine[0])


def test_a_killed_stub_fails_its_requests_and_a_change_of_settings_mends_it(first):
    """Triton's health check knows nothing of it; the other model does not notice."""
    instance = up(instances=1)
    ended = threading.Event()
    failed: list[str] = []

    def ask() -> None:
        while not ended.is_set():
            answer = classify(instance, 8)
            if answer.status_code != 200:
                failed.append(answer.text)
                ended.set()

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask) for _ in range(2)]
        [stub] = stubs(instance, "text_classifier", 1)
        psutil.Process(stub).kill()
        assert ended.wait(60)
        for one in asking:
            one.result()
    assert "Stub process" in failed[0]
    assert instances.status(instance) == "running"
    assert '"finish_reason":"length"' in list(stream(instance, 3))[-1]
    # Not by their number alone: Triton would keep the dead one and start another beside it.
    mended = up(instances=1, max_queue_delay_us=0)
    assert mended.pid == first.pid and logits(mended, 8)
