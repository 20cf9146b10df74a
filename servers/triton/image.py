"""Triton from NVIDIA's Docker images: other backends for the same two models and the same knobs.

NVIDIA's image with the vLLM backend has no ONNX Runtime backend, and the full image has no vLLM,
so a container serves one of the two models. Both are of one release. Its versions are in
triton-inference-server/server, `docs/introduction/compatibility.md`: 25.11 has vLLM 0.11.0 and
ONNX Runtime 1.23.2, and is the newest that a driver of CUDA 13.0 (580) runs.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from servers import docker, paths
from servers.contract import Launch, Request, Value
from servers.errors import ServerError
from servers.triton import pbtxt
from servers.triton.knobs import KNOBS
from servers.triton.repository import CLASSIFIER, LLM, Model, chosen

RELEASE = "25.11"
IMAGES = {
    LLM: f"nvcr.io/nvidia/tritonserver:{RELEASE}-vllm-python-py3",
    CLASSIFIER: f"nvcr.io/nvidia/tritonserver:{RELEASE}-py3",
}
_INSIDE = {"http": 8000, "grpc": 8001, "metrics": 8002}
_ENGINE_ARGUMENTS = ("max_num_seqs", "max_num_batched_tokens", "max_model_len", "dtype")
_NOT_OF_VLLM = ("max_output_tokens", "llm_threads")
# A container has its own /dev/shm, and vLLM's processes talk through it.
_SHM_BYTES = 4 * 2**30


def launch(request: Request) -> Launch:
    """`docker run` of the image that has the chosen model's backend."""
    name = _only_model(request)
    base_url = f"http://{request.host}:{request.ports['http']}"
    container = docker.Container(
        image=IMAGES[name],
        arguments=_arguments(name, request),
        ports={_INSIDE[port]: request.ports[port] for port in _INSIDE},
        mounts=_mounts(name, request),
        read_only=frozenset({request.workspace / "models", Path(str(request.model))}),
        env=_environment(name, request),
        pass_env=("HF_TOKEN",) if name == LLM and "HF_TOKEN" in os.environ else (),
        shm_bytes=_SHM_BYTES,
    )
    return Launch(
        argv=docker.run_argv(request, container),
        env={},
        base_url=base_url,
        ready_url=f"{base_url}/v2/health/ready",
        metrics_url=f"http://{request.host}:{request.ports['metrics']}/metrics",
        # The first start downloads 10 GB.
        ready_timeout_s=3600.0,
        stop_grace_s=30.0,
        cleanup=docker.cleanup_argv(request),
    )


def models(request: Request, classifier: Path | None) -> dict[str, Model]:
    """The one model of the container. Raises `ServerError` for settings an image cannot have."""
    name = _only_model(request)
    if name == LLM:
        texts = {
            "config.pbtxt": llm_config(),
            "1/model.json": engine_arguments(request.settings, _model_inside(request)),
        }
        return {LLM: Model(texts, {})}
    copies = {"1/model.onnx": classifier / "model.onnx"} if classifier is not None else {}
    return {CLASSIFIER: Model({"config.pbtxt": classifier_config(request.settings)}, copies)}


def classifier_config(settings: Mapping[str, Value]) -> str:
    """`config.pbtxt` of the classifier on Triton's ONNX Runtime backend; tensors as ever.

    Its instances are on the CPU beside a GPU, too: the graph's weights are int8, and ONNX Runtime
    has its fused integer products for the CPU only.
    """
    inputs = [pbtxt.tensor(name, "TYPE_INT64", "-1") for name in ("input_ids", "attention_mask")]
    lines = [
        f"name: {pbtxt.text(CLASSIFIER)}",
        'platform: "onnxruntime_onnx"',
        f"max_batch_size: {settings['max_batch_size']}",
        *pbtxt.tensors("input", inputs),
        *pbtxt.tensors("output", [pbtxt.tensor("logits", "TYPE_FP32", "2")]),
        *pbtxt.dynamic_batching(settings),
        f"instance_group [ {{ count: {settings['instances']} kind: KIND_CPU }} ]",
        *pbtxt.parameters({"intra_op_thread_count": settings["threads"]}),
    ]
    return "\n".join(lines) + "\n"


def llm_config() -> str:
    """`config.pbtxt` of the language model: the vLLM backend fills in its tensors by itself."""
    lines = [
        f"name: {pbtxt.text(LLM)}",
        'backend: "vllm"',
        "instance_group [ { count: 1 kind: KIND_MODEL } ]",
        *pbtxt.parameters({"REPORT_CUSTOM_METRICS": "true"}),
    ]
    return "\n".join(lines) + "\n"


def engine_arguments(settings: Mapping[str, Value], model: str) -> str:
    """`model.json`: what the vLLM backend hands to vLLM's `AsyncEngineArgs`."""
    arguments = {"model": model, **{name: settings[name] for name in _ENGINE_ARGUMENTS}}
    if settings["gpu_memory_utilization"] is not None:
        arguments["gpu_memory_utilization"] = settings["gpu_memory_utilization"]
    return json.dumps(arguments, indent=1) + "\n"


def _only_model(request: Request) -> str:
    """The model of the container, once it is sure that an image can serve it as asked."""
    settings = request.settings
    names = chosen(settings)
    if len(names) > 1:
        raise ServerError(
            "NVIDIA has no Triton image with both the vLLM and the ONNX Runtime backend, so "
            "`--way docker` serves one model: add `--set models=llm`, or `--set "
            f"models={CLASSIFIER} --set allow_ragged_batch=false`. For both, start two, each "
            "with a `--name` of its own."
        )
    (name,) = names
    if name == LLM and request.device == "cpu":
        raise ServerError(
            "The vLLM backend of NVIDIA's image needs a GPU, and none was found: run the language "
            "model by `--way environment`."
        )
    for knob in KNOBS:
        if name == LLM and knob.name in _NOT_OF_VLLM and settings[knob.name] != knob.default:
            raise ServerError(
                f"triton: {knob.name} cannot be set by `--way docker`: the vLLM backend of "
                "NVIDIA's image has nothing like it. Leave it out."
            )
    if name == CLASSIFIER and settings["allow_ragged_batch"]:
        raise ServerError(
            "In NVIDIA's image the classifier runs on Triton's ONNX Runtime backend, which does "
            "not pad: texts of different lengths cannot share a batch. Add `--set "
            "allow_ragged_batch=false`, or run it by `--way environment`."
        )
    return name


def _arguments(name: str, request: Request) -> tuple[str, ...]:
    """The server's own command line. In a container it listens on every address of its own."""
    return (
        "tritonserver",
        "--model-repository=/models",
        "--model-control-mode=explicit",
        f"--load-model={name}",
        *(f"--{port}-port={number}" for port, number in _INSIDE.items()),
        f"--allow-gpu-metrics={'true' if request.device == 'cuda' else 'false'}",
        "--metrics-config=summary_latencies=true",
        "--exit-timeout-secs=10",
        "--log-info=false",
    )


def _mounts(name: str, request: Request) -> dict[Path, str]:
    found = {request.workspace / "models": "/models"}
    if name == LLM and _is_folder(request):
        found[Path(str(request.model))] = "/llm"
    elif name == LLM:
        found[paths.environments().parent / "cache" / "huggingface"] = "/root/.cache/huggingface"
    return found


def _environment(name: str, request: Request) -> dict[str, str]:
    if name != LLM:
        return {}
    silent = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    return {**silent, **({"HF_HUB_OFFLINE": "1"} if _is_folder(request) else {})}


def _model_inside(request: Request) -> str:
    return "/llm" if _is_folder(request) else str(request.model)


def _is_folder(request: Request) -> bool:
    """Whether the language model is a folder of this machine, not a Hugging Face id."""
    return Path(str(request.model)).is_absolute()
