"""How a vLLM instance is started. Pure but for `prepare` and `version`."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from servers import paths, probe, sockets
from servers.contract import Knob, Launch, OfflineLaunch, Request, Say, WarmRequest
from servers.errors import ServerError
from servers.vllm.knobs import KNOBS
from servers.vllm.metrics import HISTOGRAM_BUCKETS

DRAIN_S = 5
# The longest and the shortest ending of the text so far that is looked for in it.
NGRAM = {"method": "ngram", "prompt_lookup_max": 4, "prompt_lookup_min": 2}
# vLLM names its sockets by a UUID, Python by up to 31 bytes.
_SOCKET_NAME_BYTES = 39


def launch(request: Request) -> Launch:
    """vLLM's command line, environment and addresses. Raises `ServerError` for settings that
    contradict each other or the device."""
    _check(request)
    if request.model is None:
        raise ValueError("vLLM needs a model")
    port = request.ports["http"]
    argv = (
        str(request.interpreter),
        # `vllm serve` is broken in the CPU wheel: it looks for a package of the name `vllm`.
        *("-m", "vllm.entrypoints.openai.api_server"),
        *("--host", request.host, "--port", str(port)),
        *engine_arguments(request),
    )
    base_url = f"http://{request.reachable_host}:{port}"
    return Launch(
        argv=argv,
        env=_env(request),
        base_url=base_url,
        ready_url=f"{base_url}/health",
        metrics_url=f"{base_url}/metrics",
        ready_timeout_s=600.0,
        stop_grace_s=DRAIN_S + 15.0,
    )


def offline(request: Request, prompts: Path, report_fd: int) -> OfflineLaunch:
    """An offline job over a file of prompts. Raises `ServerError` as `launch` does."""
    _check(request)
    argv = (
        *(str(request.interpreter), "-m", "servers.vllm.inside.batch"),
        *("--prompts", str(prompts), "--report-fd", str(report_fd)),
        *engine_arguments(request),
    )
    return OfflineLaunch(argv, {**_env(request), "PYTHONPATH": str(paths.ROOT)})


def engine_arguments(request: Request) -> tuple[str, ...]:
    """What vLLM's engine is told, whichever server stands before it."""
    return (
        *("--model", str(request.model), "--served-model-name", request.served_name),
        *(word for knob in KNOBS for word in _words(knob, request)),
        *("--shutdown-timeout", str(DRAIN_S)),
        *("--custom-histogram-buckets", json.dumps(HISTOGRAM_BUCKETS, separators=(",", ":"))),
    )


def prepare(request: Request, _say: Say) -> None:
    """An empty folder for sockets and temporary files: vLLM leaves its sockets behind."""
    temporary = _temporary(request)
    if temporary is not None:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)


def warm_requests(request: Request) -> tuple[WarmRequest, ...]:
    """A short completion. Not a chat: a model need not have a template for it.

    Its prompt is shorter than a block of the KV cache, so that no prefix is found again.
    """
    body = {
        "model": request.served_name,
        "prompt": "The capital of France is",
        "max_tokens": 8,
        "temperature": 0,
        "ignore_eos": True,
    }
    return (WarmRequest("/v1/completions", body),)


def version(base_url: str) -> str | None:
    """The version that a running vLLM says it is; `None` if it does not answer."""
    return probe.get_text(f"{base_url}/version", "version")


def _check(request: Request) -> None:
    settings = request.settings
    batched, length = request.whole("max_num_batched_tokens"), request.whole("max_model_len")
    if not settings["chunked_prefill"] and batched < length:
        raise ServerError(
            f"vLLM without chunked_prefill computes a prompt in one step: max_num_batched_tokens "
            f"({batched}) must be at least max_model_len ({length}). Raise the one, lower the "
            "other, or leave chunked_prefill on."
        )
    if batched < request.whole("max_num_seqs"):
        raise ServerError(
            f"vLLM computes a token for every running sequence in a step: max_num_batched_tokens "
            f"({batched}) must be at least max_num_seqs ({settings['max_num_seqs']})."
        )
    if request.device == "cpu" and settings["tensor_parallel_size"] != 1:
        raise ServerError(
            f"tensor_parallel_size is {settings['tensor_parallel_size']}: it splits a model over "
            "GPUs, and vLLM runs on the CPU here, where one process uses all cores already. Leave "
            "it out."
        )
    if request.device == "cpu" and settings["gpu_memory_utilization"] is not None:
        raise ServerError(
            "gpu_memory_utilization is a part of a GPU's memory, and vLLM runs on the CPU here: "
            "set kv_cache_gib instead."
        )


def _words(knob: Knob, request: Request) -> tuple[str, ...]:
    """A knob on the command line; nothing for one that is not set."""
    value = request.settings[knob.name]
    if value is None:
        return ()
    if knob.name == "kv_cache_gib":
        if request.settings["gpu_memory_utilization"] is not None:
            return ()
        return (knob.flag, str(int(request.number(knob.name) * 2**30)))
    if knob.name == "speculative_ngram_tokens":
        return (knob.flag, json.dumps({**NGRAM, "num_speculative_tokens": value}))
    if isinstance(value, bool):
        off = (knob.flag.replace("--", "--no-", 1),)
        return (knob.flag,) if value else off
    return (knob.flag, str(value))


def _env(request: Request) -> dict[str, str]:
    """Offline and silent where that can be, and all files within the lab's folders."""
    # Shared by all homes, like the environments: what is found out about a model is kept there.
    cache = paths.environments().parent / "cache" / "vllm"
    env = {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        # Three processes import the same 3,000 modules: 6 s each with compiled files, 13 s without.
        "PYTHONDONTWRITEBYTECODE": "",
        "VLLM_CACHE_ROOT": str(cache),
        "VLLM_CONFIG_ROOT": str(cache / "config"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "TRITON_CACHE_DIR": str(cache / "triton"),
    }
    temporary = _temporary(request)
    if temporary is not None:
        env["TMPDIR"] = str(temporary)
    if request.model is not None and Path(request.model).is_absolute():
        # A folder needs no network; a Hugging Face id does, and keeps the user's own cache.
        env["HF_HUB_OFFLINE"] = "1"
    if request.device == "cpu":
        env["VLLM_CPU_OMP_THREADS_BIND"] = "auto"
    return env


def _temporary(request: Request) -> Path | None:
    """The instance's own folder for sockets, unless its path is too long for a socket."""
    folder = request.workspace / "tmp"
    return folder if sockets.fit(folder, _SOCKET_NAME_BYTES) else None
