"""How TGI is started: its launcher on PATH, its Docker image, or the TGI-compatible server."""

from __future__ import annotations

import hashlib
import tempfile
from pathlib import Path

from servers import docker, paths, probe, sockets
from servers.contract import Knob, Launch, Request, Say, WarmRequest
from servers.errors import ServerError
from servers.models.build import INSIDE
from servers.tgi.knobs import KNOBS

IMAGE = "ghcr.io/huggingface/text-generation-inference:3.3.7"
PROGRAM = "text-generation-launcher"
COMPATIBLE = "TGI-compatible (transformers)"
COMPATIBLE_TOTAL_TOKENS = 16384
"""What `inside/settings.py` takes for the batch where nothing is said."""
SERVER = Path(__file__).parent / "inside" / "serve.py"
PORTS = {"http": 3000, "master": 29500, "prometheus": 9000}
"""Requests; torch's meeting point of several GPUs; a port TGI opens for a second `/metrics`."""

_PORT_INSIDE = 80
_CACHE_INSIDE = "/data"
_DRAIN_S = 5
# `shard` and the number that TGI adds to it.
_SOCKET_NAME_BYTES = 12


def launch(request: Request) -> Launch:
    """The command line of the way chosen. Raises `ServerError` for settings that contradict each
    other, the way or the device."""
    _check(request)
    base_url = f"http://{request.reachable_host}:{request.ports['http']}"
    ours = request.way == "environment"
    argv, env = {"path": _on_path, "docker": _in_docker, "environment": _compatible}[request.way](
        request
    )
    return Launch(
        argv=argv,
        env=env,
        base_url=base_url,
        ready_url=f"{base_url}/health",
        metrics_url=f"{base_url}/metrics",
        # TGI may have to fetch the image and the weights.
        ready_timeout_s=300.0 if ours else 1800.0,
        stop_grace_s=_DRAIN_S + 15.0 if ours else 100.0,
        title=COMPATIBLE if ours else None,
        cleanup=docker.cleanup_argv(request) if request.way == "docker" else None,
    )


def prepare(request: Request, _say: Say) -> None:
    """The folder that a container keeps fetched models in: Docker would make it root's."""
    if request.way == "docker" and not _is_folder(_model(request)):
        hub_cache().mkdir(parents=True, exist_ok=True)


def warm_requests(_request: Request) -> tuple[WarmRequest, ...]:
    """A short answer to a short prompt."""
    parameters = {"max_new_tokens": 8, "do_sample": False}
    return (
        WarmRequest("/generate", {"inputs": "The capital of France is", "parameters": parameters}),
    )


def version(base_url: str) -> str | None:
    """TGI's version, or what the TGI-compatible server stands on; `None` if it does not answer."""
    return probe.get_text(f"{base_url}/info", "version")


def _on_path(request: Request) -> tuple[tuple[str, ...], dict[str, str]]:
    argv = (
        str(request.program),
        *("--model-id", _model(request)),
        *("--hostname", request.host, "--port", str(request.ports["http"])),
        *("--master-port", str(request.ports["master"])),
        *("--shard-uds-path", str(_socket(request))),
        *_of_tgi_itself(request),
    )
    env = {
        # A flag of this name came with 3.2: an older TGI passes over the variable.
        "PROMETHEUS_PORT": str(request.ports["prometheus"]),
        **_offline(request),
    }
    return argv, env


def _in_docker(request: Request) -> tuple[tuple[str, ...], dict[str, str]]:
    """The container has the model's folder to read, or the lab's cache of Hugging Face models."""
    model, from_hub = _model(request), not _is_folder(_model(request))
    folder = hub_cache() if from_hub else Path(model)
    # A folder keeps its name: TGI says the path when it is asked which model it serves.
    inside = _CACHE_INSIDE if from_hub else f"/model/{folder.name}"
    container = docker.Container(
        image=IMAGE,
        arguments=(
            *("--model-id", model if from_hub else inside),
            *("--hostname", "0.0.0.0", "--port", str(_PORT_INSIDE)),
            *_of_tgi_itself(request),
        ),
        ports={_PORT_INSIDE: request.ports["http"]},
        mounts={folder: inside},
        read_only=frozenset() if from_hub else frozenset((folder,)),
        env={"HF_HUB_DISABLE_TELEMETRY": "1", **_offline(request)},
        pass_env=("HF_TOKEN",) if from_hub else (),
    )
    return docker.run_argv(request, container), {}


def _compatible(request: Request) -> tuple[tuple[str, ...], dict[str, str]]:
    argv = (
        *(str(request.interpreter), str(SERVER)),
        *("--model-id", _model(request)),
        *("--hostname", request.host, "--port", str(request.ports["http"])),
        *(word for knob in KNOBS for word in _words(knob, request)),
    )
    env = {
        "PYTHONPATH": str(INSIDE / "serving"),
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        # Load test, dashboard and other engines share the cores: threads that spin while they
        # wait for each other collapse beside one busy process.
        "OMP_WAIT_POLICY": "PASSIVE",
        **_offline(request),
    }
    return argv, env


def _of_tgi_itself(request: Request) -> tuple[str, ...]:
    words = [word for knob in KNOBS for word in _words(knob, request)]
    if request.device == "cpu":
        words.append("--disable-custom-kernels")
    return (*words, "--usage-stats", "off")


def _words(knob: Knob, request: Request) -> tuple[str, ...]:
    """A knob on the command line; nothing for one that is not set."""
    value = request.settings[knob.name]
    return () if value is None else (knob.flag, str(value))


def hub_cache() -> Path:
    """Where a container keeps what it fetches from Hugging Face; shared by all homes."""
    return paths.environments().parent / "cache" / "huggingface"


def _socket(request: Request) -> Path:
    """What the shards' sockets are called, in the workspace unless its path is too long."""
    path = request.workspace / "shard"
    if sockets.fit(request.workspace, _SOCKET_NAME_BYTES):
        return path
    digest = hashlib.sha256(bytes(path)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"serving-lab-{digest}"


def _check(request: Request) -> None:
    settings = request.settings
    longest, whole = request.number("max_input_tokens"), request.number("max_total_tokens")
    if longest >= whole:
        raise ServerError(
            f"TGI needs room for an answer: max_total_tokens ({whole:g}) must be above "
            f"max_input_tokens ({longest:g})."
        )
    if request.number("max_batch_prefill_tokens") < longest:
        raise ServerError(
            f"TGI computes a prompt in one prefill: max_batch_prefill_tokens "
            f"({settings['max_batch_prefill_tokens']}) must be at least max_input_tokens "
            f"({longest:g})."
        )
    total = settings["max_batch_total_tokens"]
    if total is not None and request.number("max_batch_total_tokens") < whole:
        raise ServerError(
            f"TGI's batch must hold at least one request: max_batch_total_tokens ({total}) must be "
            f"at least max_total_tokens ({whole:g})."
        )
    if request.way == "environment":
        _check_compatible(request, whole)
    elif settings["dtype"] == "float32":
        raise ServerError(
            "TGI itself computes in float16 or bfloat16 only; float32 is for the TGI-compatible "
            "server (`--way environment`)."
        )


def _check_compatible(request: Request, whole: float) -> None:
    if request.settings["cuda_memory_fraction"] is not None:
        raise ServerError(
            "cuda_memory_fraction is of TGI itself; the TGI-compatible server holds what "
            "max_batch_total_tokens says: set that instead."
        )
    if request.settings["max_batch_total_tokens"] is None and whole > COMPATIBLE_TOTAL_TOKENS:
        raise ServerError(
            f"The TGI-compatible server's batch holds {COMPATIBLE_TOTAL_TOKENS} tokens unless "
            f"max_batch_total_tokens is set, and max_total_tokens is {whole:g}: set both."
        )


def _offline(request: Request) -> dict[str, str]:
    """A folder needs no network; a Hugging Face id does."""
    return {"HF_HUB_OFFLINE": "1"} if _is_folder(_model(request)) else {}


def _model(request: Request) -> str:
    if request.model is None:
        raise ValueError("TGI needs a model")
    return request.model


def _is_folder(model: str) -> bool:
    return Path(model).is_absolute()
