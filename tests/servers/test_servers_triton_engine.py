"""A real tritonserver: what it answers, how it batches, what it measures, what it leaves."""

import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import tritonclient.grpc as grpc
import tritonclient.http as http

from servers import models, supervisor
from servers.errors import ServerError
from servers.instances import Instance
from servers.triton import ENGINE

pytestmark = pytest.mark.engine
REFERENCE = Path(__file__).with_name("triton_reference.py")
TIMEOUT_S = 120.0


def quiet(_: object) -> None:
    return None


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Instance]]:
    """Starts instances in a home of this module's own; all are stopped at its end."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(tmp_path_factory.mktemp("triton-home")))

        def start(name: str, model: str | None = None, **settings: object) -> Instance:
            return supervisor.up(ENGINE, name=name, model=model, settings=settings, say=quiet)

        yield start
        supervisor.down(say=quiet)


@pytest.fixture(scope="module")
def tiny(started) -> Instance:
    """Both models, the language model being the tiny random one."""
    return started("triton-tiny", model="tiny", max_num_seqs=4, dtype="float32")


@pytest.fixture(scope="module")
def smollm2(started) -> Instance:
    """SmolLM2 in float32, where an answer does not depend on its neighbours in the batch."""
    return started("triton-smollm2", models="llm", max_num_seqs=4, dtype="float32")


def reference(kind: str, what: Path | str, asked: object) -> list:
    python = Path(ENGINE.environment.folder).parents[2] / ".lab" / "envs" / "triton" / "bin"
    answer = subprocess.run(
        [str(python / "python"), str(REFERENCE), kind, str(what)],
        input=json.dumps(asked),
        env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    return json.loads(answer.stdout)


def stream(instance: Instance, **body: object) -> list[dict]:
    """The responses of one `generate_stream`."""
    url = f"{instance.base_url}/v2/models/llm/generate_stream"
    with httpx.stream("POST", url, json=body, timeout=TIMEOUT_S) as answer:
        lines = [line for line in answer.iter_lines() if line.startswith("data:")]
    return [json.loads(line.removeprefix("data:")) for line in lines]


def text_of(responses: list[dict]) -> str:
    return "".join(one["text_output"] for one in responses)


def generate(instance: Instance, **body: object) -> dict:
    url = f"{instance.base_url}/v2/models/llm/generate"
    return httpx.post(url, json={**body, "stream": False}, timeout=TIMEOUT_S).json()


def series(instance: Instance) -> dict[tuple[str, str], float]:
    """Value by (sample name, model); samples that differ in other labels are added up."""
    found: dict[tuple[str, str], float] = {}
    assert instance.metrics_url is not None
    for line in httpx.get(instance.metrics_url, timeout=60).text.splitlines():
        sample = re.fullmatch(r'(\w+)\{(?:.*[{,])?model="([^"]*)".*\} (\S+)', line)
        if sample:
            key = (sample[1], sample[2])
            found[key] = found.get(key, 0.0) + float(sample[3])
    return found


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Look until it is so; a minute is far beyond what any of these take."""
    stop = threading.Event()
    for _ in range(600):
        if condition():
            return
        stop.wait(0.1)
    pytest.fail(f"after a minute still not: {what}")


def classify_inputs(module, rows: list[list[int]], masks: list[list[int]] | None = None) -> list:
    tensors = []
    masks = masks or [[1] * len(row) for row in rows]
    for name, values in (("input_ids", rows), ("attention_mask", masks)):
        array = np.array(values, dtype=np.int64)
        tensor = module.InferInput(name, list(array.shape), "INT64")
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    return tensors


def texts(count: int, length: int, seed: int) -> list[list[int]]:
    random = np.random.default_rng(seed)
    return random.integers(1_000, 20_000, (count, length)).tolist()


def address(instance: Instance, port: str) -> str:
    return f"{instance.host}:{instance.ports[port]}"


def test_the_classifier_answers_what_onnxruntime_answers_batched_or_single(tiny):
    asked = texts(12, 9, seed=1)
    expected = reference("classifier", models.classifier(quiet) / "model.onnx", asked)
    with grpc.InferenceServerClient(address(tiny, "grpc")) as client:
        answer = client.infer("text_classifier", classify_inputs(grpc, asked))
        together = answer.as_numpy("logits")
    client = http.InferenceServerClient(address(tiny, "http"))
    single = [
        client.infer("text_classifier", classify_inputs(http, [row])).as_numpy("logits")[0]
        for row in asked
    ]
    client.close()
    assert together.shape == (12, 2) and together.dtype == np.float32
    np.testing.assert_allclose(np.array(single), expected, atol=1e-4)
    # An int8 graph rounds by the largest value of a batch: close, not equal to the last digit.
    np.testing.assert_allclose(together, expected, atol=0.3)


def executed(instance: Instance, clients: int, requests: int) -> float:
    """The average batch that Triton computed for `clients` closed-loop clients."""
    before = series(instance)

    def one(seed: int) -> None:
        with grpc.InferenceServerClient(address(instance, "grpc")) as client:
            for row in texts(requests, 16, seed):
                client.infer("text_classifier", classify_inputs(grpc, [row]))

    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(one, range(clients)))
    after = series(instance)

    def grown(name: str) -> float:
        key = (name, "text_classifier")
        return after[key] - before[key]

    assert grown("nv_inference_count") == clients * requests
    return grown("nv_inference_count") / grown("nv_inference_exec_count")


def test_one_client_gets_batches_of_one_and_eight_clients_larger_ones(tiny):
    assert executed(tiny, clients=1, requests=20) == 1.0
    assert executed(tiny, clients=8, requests=20) > 1.0


@pytest.mark.parametrize(
    ("rows", "masks", "message"),
    [
        ([[101, 2_000_307, 102]], None, "out of data bounds"),
        ([[101, -5, 102]], None, "never negative"),
        ([[101, 2023, 102]], [[1, 1]], r"shape \[1, 3\], attention_mask \[1, 2\]"),
        ([[101, 2023, 102]], [[0, 0, 0]], "a 1 in every row"),
    ],
)
def test_a_bad_text_is_an_error_in_words_and_the_next_is_answered(tiny, rows, masks, message):
    with grpc.InferenceServerClient(address(tiny, "grpc")) as client:
        with pytest.raises(grpc.InferenceServerException, match=message):
            client.infer("text_classifier", classify_inputs(grpc, rows, masks))
        good = client.infer("text_classifier", classify_inputs(grpc, [[101, 2023, 102]]))
        assert np.isfinite(good.as_numpy("logits")).all()


def test_a_bad_text_does_not_fail_the_others_of_its_batch(tiny):
    """Eight at once, all of one shape, so that Triton joins them; two are out of vocabulary."""
    rows = texts(8, 7, seed=3)
    rows[2][3] = rows[5][3] = 2_000_000

    def one(row: list[int]) -> bool:
        with grpc.InferenceServerClient(address(tiny, "grpc")) as client:
            try:
                client.infer("text_classifier", classify_inputs(grpc, [row]))
            except grpc.InferenceServerException:
                return False
            return True

    with ThreadPoolExecutor(8) as pool:
        answered = list(pool.map(one, rows))
    assert answered == [index not in (2, 5) for index in range(8)]


def test_streamed_text_adds_up_to_the_unstreamed_with_true_counts(smollm2):
    asked = {"text_input": "The capital of France is", "max_tokens": 20, "ignore_eos": True}
    responses = stream(smollm2, **asked)
    whole = generate(smollm2, **asked)
    assert text_of(responses) == whole["text_output"]
    assert whole["text_output"].startswith(" Paris")
    assert [one["output_tokens"] for one in responses] == list(range(1, 21))
    assert whole["output_tokens"] == 20 and whole["finish_reason"] == "length"
    assert {one["prompt_tokens"] for one in responses} == {5}
    assert [one["finish_reason"] for one in responses] == [""] * 19 + ["length"]


def test_an_answer_ends_at_the_models_end_token_unless_told_otherwise(smollm2):
    prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    ended = generate(smollm2, text_input=prompt, max_tokens=60)
    assert ended["finish_reason"] == "stop" and ended["output_tokens"] < 60
    assert "Paris" in ended["text_output"] and "<|im_end|>" not in ended["text_output"]
    went_on = generate(smollm2, text_input=prompt, max_tokens=60, ignore_eos=True)
    assert went_on["finish_reason"] == "length" and went_on["output_tokens"] == 60


def test_characters_of_several_tokens_are_never_broken(smollm2):
    asked = {"text_input": "日本の首都は東京です。日本の首都は", "max_tokens": 24}
    responses = stream(smollm2, **asked, ignore_eos=True)
    text = text_of(responses)
    assert any(ord(letter) > 0x3000 for letter in text)
    assert "\ufffd" not in text
    assert len(responses) < 24, "tokens that complete no character bring no response"
    assert responses[-1]["output_tokens"] == 24


def test_answers_computed_together_equal_transformers_generate_alone(smollm2):
    """More requests than rows, of many lengths: they wait, join and leave at different tokens."""
    tale = "once upon a time there was a king who lived in the north with his three sons"
    words = tale.split()
    asked = [
        {"text_input": " ".join(words[: 1 + index]), "max_tokens": 4 + 3 * (index % 5)}
        for index in range(12)
    ]
    expected = reference("llm", models.smollm2(quiet), asked)
    with ThreadPoolExecutor(12) as pool:
        answered = list(pool.map(lambda one: text_of(stream(smollm2, **one)), asked))
    assert answered == expected


def test_a_short_answer_overtakes_a_long_one(tiny):
    """The long one streams; the short one comes later and is done before it."""
    url = f"{tiny.base_url}/v2/models/llm/generate_stream"
    body = {"text_input": "Hello", "max_tokens": 600, "ignore_eos": True}
    with httpx.stream("POST", url, json=body, timeout=TIMEOUT_S) as long:
        lines = long.iter_lines()
        next(lines)
        stream(tiny, text_input="Hi", max_tokens=2, ignore_eos=True)
        assert series(tiny)["llm_requests_running", "llm"] == 1
        assert '"finish_reason":"length"' in [line for line in lines if line][-1]


def test_a_client_that_leaves_frees_its_place(tiny):
    before = series(tiny)["llm_requests_cancelled_total", "llm"]
    url = f"{tiny.base_url}/v2/models/llm/generate_stream"
    body = {"text_input": "Hello", "max_tokens": 1_000, "ignore_eos": True}
    with httpx.stream("POST", url, json=body, timeout=TIMEOUT_S) as answer:
        next(answer.iter_lines())
    wait_for(
        lambda: series(tiny)["llm_requests_cancelled_total", "llm"] == before + 1,
        "the request counted as cancelled",
    )
    assert series(tiny)["llm_requests_running", "llm"] == 0


def test_grpc_streams_the_same_answer(tiny):
    asked = {"text_input": "Hello there", "max_tokens": 7, "ignore_eos": True}
    inputs = []
    for name, kind, value in (
        ("text_input", "BYTES", np.array([asked["text_input"].encode()], dtype=np.object_)),
        ("max_tokens", "INT32", np.array([asked["max_tokens"]], dtype=np.int32)),
        ("ignore_eos", "BOOL", np.array([True])),
    ):
        tensor = grpc.InferInput(name, [1], kind)
        tensor.set_data_from_numpy(value)
        inputs.append(tensor)
    parts: list[str] = []
    ended = threading.Event()

    def take(result, error) -> None:
        assert error is None
        parts.append(result.as_numpy("text_output")[0].decode())
        if result.as_numpy("finish_reason")[0]:
            ended.set()

    with grpc.InferenceServerClient(address(tiny, "grpc")) as client:
        client.start_stream(take)
        client.async_stream_infer("llm", inputs)
        assert ended.wait(TIMEOUT_S)
        client.stop_stream()
    assert "".join(parts) == text_of(stream(tiny, **asked))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"text_input": ""}, "text_input is empty"),
        ({"max_tokens": 4}, "text_input is empty"),
        ({"text_input": "x", "max_tokens": 0}, "max_tokens is 0; this server takes 1 to 1024"),
        ({"text_input": "x", "temperature": -1.0}, "temperature is -1"),
        ({"text_input": "word " * 3_000}, "together they may be at most 2048"),
    ],
)
def test_a_bad_request_gets_its_error_and_the_model_lives_on(tiny, body, message):
    before = series(tiny)["llm_request_errors_total", "llm"]
    answer = httpx.post(f"{tiny.base_url}/v2/models/llm/generate_stream", json=body, timeout=60)
    assert answer.status_code == 400 and message in answer.text
    assert series(tiny)["llm_request_errors_total", "llm"] == before + 1
    assert stream(tiny, text_input="x", max_tokens=1, ignore_eos=True)[-1]["output_tokens"] == 1


def test_a_temperature_draws_different_answers(tiny):
    asked = {"text_input": "Hello", "max_tokens": 20, "ignore_eos": True, "temperature": 1.0}
    assert len({text_of(stream(tiny, **asked)) for _ in range(3)}) > 1


def test_every_declared_metric_is_exported_and_tokens_are_counted(tiny):
    before = series(tiny)
    stream(tiny, text_input="Hello there", max_tokens=9, ignore_eos=True)
    wait_for(
        lambda: series(tiny)["llm_requests_running", "llm"] == 0, "the request no longer running"
    )
    after = series(tiny)
    suffixes = {"histogram": "_count", "summary": "_count"}
    for metric in ENGINE.metrics:
        if metric.name.startswith("vllm:"):
            continue  # Of NVIDIA's image, which needs Docker.
        name = metric.name + suffixes.get(metric.kind, "")
        model = metric.selector.get("model", "llm")
        assert (name, model) in after, f"{name} of {model} is not on /metrics"

    def grown(name: str) -> float:
        return after[name, "llm"] - before[name, "llm"]

    assert grown("llm_output_tokens_total") == 9
    assert grown("llm_prompt_tokens_total") == 2
    assert grown("llm_requests_total") == 1
    assert grown("llm_time_to_first_token_seconds_count") == 1
    assert grown("llm_inter_token_latency_seconds_count") == 8
    assert grown("llm_iteration_tokens_sum") == 2 + 8


def test_the_instance_knows_its_version(tiny):
    assert tiny.version and tiny.version[0].isdigit()


def test_a_model_it_cannot_serve_ends_with_the_reason_in_the_error(started, tmp_path):
    folder = tmp_path / "gpt2"
    folder.mkdir()
    for path in models.tiny_llama(quiet).iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ServerError, match="serves llama, mistral, qwen2, qwen3"):
        started("triton-gpt2", model=str(folder), models="llm")


def test_down_leaves_no_process_and_no_shared_memory(started):
    instance = started("triton-leaves", models="text_classifier", instances=1)
    assert instance.shm and all("triton-leaves" in file for file in instance.shm)
    supervisor.down("triton-leaves", say=quiet)
    assert not any(psutil.pid_exists(pid) for pid, _ in instance.members)
    assert not list(Path("/dev/shm").glob("*triton-leaves*"))
