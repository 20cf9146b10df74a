"""NVIDIA's images: the exact command lines and configurations that a machine with Docker gets."""

import json
from pathlib import Path

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from servers import docker, knobs
from servers.contract import Request
from servers.errors import ServerError
from servers.triton import ENGINE, image

CLASSIFIER_ONLY = ("models=text_classifier", "allow_ragged_batch=false")


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)


def request(*settings: str, device: str = "cuda", model: str = "/models/smollm2") -> Request:
    return Request(
        instance="t1",
        settings=knobs.parse(ENGINE, list(settings)),
        model=model,
        served_name="smollm2",
        ports={"http": 9000, "grpc": 9001, "metrics": 9002},
        host="127.0.0.1",
        workspace=Path("/lab/work/t1"),
        python=None,
        device=device,  # type: ignore[arg-type]
        way="docker",
    )


def test_the_language_model_on_a_gpu_is_exactly_this_container():
    asked = request("models=llm")
    launch = ENGINE.launch(asked)
    assert launch.argv == (
        *("docker", "run", "--rm", "--init", "--name", docker.name(asked), "--gpus", "all"),
        *("--shm-size", "4096m"),
        *("--publish", "127.0.0.1:9000:8000"),
        *("--publish", "127.0.0.1:9001:8001"),
        *("--publish", "127.0.0.1:9002:8002"),
        *("--volume", "/lab/work/t1/models:/models:ro"),
        *("--volume", "/models/smollm2:/llm:ro"),
        *("--env", "VLLM_NO_USAGE_STATS=1", "--env", "DO_NOT_TRACK=1"),
        *("--env", "HF_HUB_DISABLE_TELEMETRY=1", "--env", "HF_HUB_OFFLINE=1"),
        "nvcr.io/nvidia/tritonserver:25.11-vllm-python-py3",
        "tritonserver",
        "--model-repository=/models",
        "--model-control-mode=explicit",
        "--load-model=llm",
        "--http-port=8000",
        "--grpc-port=8001",
        "--metrics-port=8002",
        "--allow-gpu-metrics=true",
        "--metrics-config=summary_latencies=true",
        "--exit-timeout-secs=10",
        "--log-info=false",
    )
    assert launch.ready_url == "http://127.0.0.1:9000/v2/health/ready"
    assert launch.metrics_url == "http://127.0.0.1:9002/metrics"
    assert launch.cleanup == ("docker", "rm", "--force", docker.name(asked))


def test_the_classifier_is_exactly_this_container_on_a_gpu_and_on_a_cpu():
    for device, gpus in (("cuda", ("--gpus", "all")), ("cpu", ())):
        asked = request(*CLASSIFIER_ONLY, device=device)
        assert ENGINE.launch(asked).argv == (
            *("docker", "run", "--rm", "--init", "--name", docker.name(asked), *gpus),
            *("--shm-size", "4096m"),
            *("--publish", "127.0.0.1:9000:8000"),
            *("--publish", "127.0.0.1:9001:8001"),
            *("--publish", "127.0.0.1:9002:8002"),
            *("--volume", "/lab/work/t1/models:/models:ro"),
            "nvcr.io/nvidia/tritonserver:25.11-py3",
            "tritonserver",
            "--model-repository=/models",
            "--model-control-mode=explicit",
            "--load-model=text_classifier",
            "--http-port=8000",
            "--grpc-port=8001",
            "--metrics-port=8002",
            f"--allow-gpu-metrics={'true' if device == 'cuda' else 'false'}",
            "--metrics-config=summary_latencies=true",
            "--exit-timeout-secs=10",
            "--log-info=false",
        )


def test_the_classifiers_config_in_the_image_is_this_text():
    models = image.models(request(*CLASSIFIER_ONLY, "threads=4"), Path("/classifier"))
    assert models["text_classifier"].copies == {"1/model.onnx": Path("/classifier/model.onnx")}
    text = models["text_classifier"].texts["config.pbtxt"]
    assert (
        text
        == """\
name: "text_classifier"
platform: "onnxruntime_onnx"
max_batch_size: 64
input [
  { name: "input_ids" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "attention_mask" data_type: TYPE_INT64 dims: [ -1 ] }
]
output [
  { name: "logits" data_type: TYPE_FP32 dims: [ 2 ] }
]
dynamic_batching {
  preferred_batch_size: [ 8, 16, 32 ]
  max_queue_delay_microseconds: 5000
}
instance_group [ { count: 2 kind: KIND_CPU } ]
parameters { key: "intra_op_thread_count" value: { string_value: "4" } }
"""
    )
    text_format.Parse(text, model_config_pb2.ModelConfig())


def test_the_language_models_files_in_the_image_are_these():
    asked = request("models=llm", "max_num_seqs=32", "gpu_memory_utilization=0.4")
    files = image.models(asked, None)["llm"]
    assert not files.copies and set(files.texts) == {"config.pbtxt", "1/model.json"}
    assert (
        files.texts["config.pbtxt"]
        == """\
name: "llm"
backend: "vllm"
instance_group [ { count: 1 kind: KIND_MODEL } ]
parameters { key: "REPORT_CUSTOM_METRICS" value: { string_value: "true" } }
"""
    )
    text_format.Parse(files.texts["config.pbtxt"], model_config_pb2.ModelConfig())
    assert json.loads(files.texts["1/model.json"]) == {
        "model": "/llm",
        "max_num_seqs": 32,
        "max_num_batched_tokens": 2048,
        "max_model_len": 2048,
        "dtype": "auto",
        "gpu_memory_utilization": 0.4,
    }


def test_a_hugging_face_id_is_kept_in_the_labs_cache_and_a_token_goes_by_name(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    argv = ENGINE.launch(request("models=llm", model="Qwen/Qwen3-0.6B")).argv
    assert any(word.endswith("/cache/huggingface:/root/.cache/huggingface") for word in argv)
    assert argv[argv.index("HF_TOKEN") - 1] == "--env"
    assert not any("hf_secret" in word for word in argv)
    assert "HF_HUB_OFFLINE=1" not in argv


@pytest.mark.parametrize(
    ("settings", "device", "message"),
    [
        ((), "cuda", r"no Triton image with both .*--set models=llm.*start two"),
        (("models=llm",), "cpu", "needs a GPU.*--way environment"),
        (("models=text_classifier",), "cuda", "does not pad.*allow_ragged_batch=false"),
        (("models=llm", "llm_threads=4"), "cuda", "llm_threads cannot be set by `--way docker`"),
    ],
)
def test_what_an_image_cannot_do_is_refused_with_what_to_do(settings, device, message):
    with pytest.raises(ServerError, match=message):
        ENGINE.launch(request(*settings, device=device))


def test_the_other_model_takes_another_container():
    now, asked = request("models=llm"), request(*CLASSIFIER_ONLY)
    assert ENGINE.reload(now, asked, print) is False
