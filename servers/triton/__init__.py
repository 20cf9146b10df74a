"""Triton Inference Server: a real tritonserver with a batched classifier and a streaming model."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from servers import models as lab_models
from servers import probe
from servers.contract import Engine, Environment, Launch, Request, Say, WarmRequest
from servers.errors import ServerError
from servers.triton import control, image, layout, python_models, repository
from servers.triton.knobs import KNOBS, NO_KNOB
from servers.triton.memory import memory
from servers.triton.metrics import METRICS

_HERE = Path(__file__).parent
_PORTS = {"http": 8000, "grpc": 8001, "metrics": 8002}


def launch(request: Request) -> Launch:
    """`tritonserver` on this instance's model repository. Nothing is written here."""
    if request.way == "docker":
        return image.launch(request)
    python = request.interpreter
    binary = layout.find(python, os.environ, request.program)
    ports = request.ports
    base_url = _base_url(request)
    argv = (
        str(binary.path),
        f"--model-repository={request.workspace / 'models'}",
        # Models are loaded by name, so that one can be changed beside another that serves on.
        "--model-control-mode=explicit",
        *(f"--load-model={name}" for name in repository.chosen(request.settings)),
        f"--backend-directory={request.workspace / 'backends'}",
        "--disable-auto-complete-config",
        f"--http-address={request.host}",
        f"--http-port={ports['http']}",
        f"--grpc-address={request.host}",
        f"--grpc-port={ports['grpc']}",
        f"--metrics-address={request.host}",
        f"--metrics-port={ports['metrics']}",
        f"--allow-gpu-metrics={'true' if request.device == 'cuda' else 'false'}",
        "--metrics-config=summary_latencies=true",
        f"--backend-config=python,shm-region-prefix-name={_shm_prefix(request)}",
        "--exit-timeout-secs=10",
        # Its tables of options would push the reason of a failed start out of the log's end.
        "--log-info=false",
    )
    return Launch(
        argv=argv,
        env=environment(
            python, layout.library_path(binary, python, os.environ), os.environ["PATH"]
        ),
        base_url=base_url,
        ready_url=f"{base_url}/v2/health/ready",
        metrics_url=f"http://{request.host}:{ports['metrics']}/metrics",
        ready_timeout_s=180.0,
        stop_grace_s=20.0,
        shm_prefix=_shm_prefix(request),
    )


def _shm_prefix(request: Request) -> str:
    """What this instance's files in /dev/shm begin with, and no other lab's."""
    lab = hashlib.sha256(str(request.workspace).encode()).hexdigest()[:8]
    return f"serving_lab_{lab}_{request.instance}_"


def environment(python: Path, library_path: str, path: str) -> dict[str, str]:
    """Variables of the server. The stub takes the first `python3` on PATH for its own home."""
    return {
        "LD_LIBRARY_PATH": library_path,
        "PATH": f"{python.parent}:{path}",
        "VIRTUAL_ENV": str(python.parent.parent),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # Load test, dashboard and other engines share the cores. Threads that spin while they
        # wait for each other are faster alone (2 cores, 16 sequences: 242 tokens/s, without
        # 174) and collapse beside one busy process (83, without 181).
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def prepare(request: Request, say: Say) -> None:
    """Write the model repository, and what the server needs beside it, into the workspace."""
    models = _models(request, say)
    if request.way != "docker":
        python = request.interpreter
        binary = layout.find(python, os.environ, request.program)
        say(f"{request.instance}: tritonserver {binary.why}")
        layout.lay_out(binary, python, request.workspace / "backends")
    repository.write(request.workspace / "models", models)


def reload(now: Request, asked: Request, say: Say) -> bool:
    """Load anew the models that the settings change; the others do not notice.

    A container has one model's backend only: for the other model it takes another container.
    """
    if asked.way == "docker" and now.settings["models"] != asked.settings["models"]:
        return False
    control.change(
        _base_url(asked),
        asked.workspace / "models",
        _models(now, say),
        _models(asked, say),
        lambda words: say(f"{asked.instance}: {words}"),
    )
    return True


def _models(request: Request, say: Say) -> dict[str, repository.Model]:
    """The models of the repository. Raises `ServerError` for settings that contradict others."""
    classifier = None
    if repository.CLASSIFIER in repository.chosen(request.settings):
        classifier = lab_models.classifier(say)
    if request.way == "docker":
        return image.models(request, classifier)
    if request.settings["gpu_memory_utilization"] is not None:
        raise ServerError(
            "triton: gpu_memory_utilization is for vLLM in NVIDIA's image (`--way docker`); the "
            "lab's own language model takes the memory it needs. Leave it out."
        )
    return python_models.models(request.settings, request.model, classifier, request.device)


def _base_url(request: Request) -> str:
    return f"http://{request.host}:{request.ports['http']}"


def resolve_model(name: str | None, say: Say) -> str:
    """The language model asked for; the classifier, which is always the lab's own, is made too."""
    lab_models.classifier(say)
    return lab_models.resolve_llm(name, say)


def warm_requests(request: Request) -> tuple[WarmRequest, ...]:
    """One of each model that is loaded: a short text to go on from, and a sentence to classify."""
    ids = [101, 2023, 2003, 1037, 2307, 3185, 102]
    tensors = {"input_ids": ids, "attention_mask": [1] * len(ids)}
    known = {
        repository.LLM: WarmRequest(
            f"/v2/models/{repository.LLM}/generate",
            {"text_input": "The capital of France is", "max_tokens": 8, "stream": False},
        ),
        repository.CLASSIFIER: WarmRequest(
            f"/v2/models/{repository.CLASSIFIER}/infer",
            {
                "inputs": [
                    {"name": name, "shape": [1, len(ids)], "datatype": "INT64", "data": data}
                    for name, data in tensors.items()
                ]
            },
        ),
    }
    return tuple(known[name] for name in repository.chosen(request.settings))


def version(base_url: str) -> str | None:
    """The running server's own version, such as `2.51.0`."""
    return probe.get_text(f"{base_url}/v2", "version")


ENGINE = Engine(
    name="triton",
    title="Triton Inference Server",
    summary="NVIDIA's server of model repositories: dynamic batching of a classifier, and a "
    "language model streamed from its Python backend.",
    ports=_PORTS,
    launch=launch,
    knobs=KNOBS,
    no_knob=NO_KNOB,
    metrics=METRICS,
    protocols=("kserve-generate", "kserve-grpc", "kserve-infer"),
    environment=Environment(
        name="triton", folder=_HERE / "env", torch="2.13.0", cuda="requirements-cuda.txt"
    ),
    prepare=prepare,
    served_models={
        "kserve-generate": repository.LLM,
        "kserve-grpc": repository.LLM,
        "kserve-infer": repository.CLASSIFIER,
    },
    resolve_model=resolve_model,
    version=version,
    reload=reload,
    # NVIDIA's images are larger (10 GB) and serve one of the two models each: only when asked for.
    ways=("path", "environment", "docker"),
    environment_for=("path", "environment"),
    program="tritonserver",
    image=" or ".join(image.IMAGES.values()),
    warm_requests=warm_requests,
    memory=memory,
    notebooks=(
        "00_first_run",
        "03_triton_batching",
        "06_five_servers",
        "08_cold_start",
        "11_gpu_memory",
    ),
)
