"""What a Triton instance takes: the server, a process for each model instance, their models."""

from __future__ import annotations

from servers.contract import Request
from servers.memory import MIB, Memory, Part, placed
from servers.models import classifier_memory, facts
from servers.triton.repository import CLASSIFIER, LLM, chosen

# Measured as PSS (tritonserver 2.51 of nvidia-pytriton, two cores, after loading): the server
# 17 to 33 MiB; a process with torch, transformers and the batcher 326 and 333 MiB without its
# weights; a process with onnxruntime 86 MiB without its session.
_SERVER_BYTES = 33 * MIB
_LLM_BYTES = 333 * MIB
_CLASSIFIER_BYTES = 86 * MIB
# What the vLLM in NVIDIA's image takes of a GPU if nothing is said.
_VLLM_SHARE = 0.9


def memory(request: Request) -> Memory:
    """The sum over the models these settings load."""
    models = chosen(request.settings)
    parts: tuple[Part, ...] = (Part("overhead", _SERVER_BYTES, 0, "tritonserver; measured"),)
    if CLASSIFIER in models:
        instances = request.whole("instances")
        parts += classifier_memory.parts(
            instances,
            request.whole("max_batch_size"),
            instances * _CLASSIFIER_BYTES,
            f"{instances} × a process with onnxruntime; measured",
        )
    if LLM not in models:
        return Memory(parts)
    if request.way == "docker":
        asked = request.settings["gpu_memory_utilization"]
        share = _VLLM_SHARE if asked is None else request.number("gpu_memory_utilization")
        return Memory((*parts, *_image(request)), gpu_share=share)
    own, per_token = _batcher(request)
    return Memory((*parts, *own), kv_bytes_per_token=per_token)


def _batcher(request: Request) -> tuple[tuple[Part, ...], int | None]:
    """The lab's own language model, a row of the KV cache for each sequence; bytes of a token."""
    on_gpu = request.device == "cuda"
    overhead = Part(
        "overhead",
        _LLM_BYTES,
        None if on_gpu else 0,
        "a process with torch; measured" + (" without CUDA" if on_gpu else ""),
    )
    found = facts.read(request.model)
    if found is None:
        weights = placed(request.device, "weights", None, facts.unknown(request.model))
        return (weights, overhead), None
    # As the model itself chooses (`choose_dtype` in `servers/models/inside/serving`).
    asked = str(request.settings["dtype"])
    dtype = facts.fastest_dtype(request.device) if asked == "auto" else asked
    rows, length = request.whole("max_num_seqs"), request.whole("max_model_len")
    size, per_token = found.weight_bytes(dtype), found.kv_bytes_per_token(dtype)
    kv_bytes = None if per_token is None else rows * length * per_token
    # On a CPU a row costs nothing until tokens are written to it.
    kv_how = f"{rows} rows of {length} tokens" + ("" if on_gpu else ", as they fill")
    return (
        placed(request.device, "weights", size, facts.weights_in_words(found, dtype)),
        placed(request.device, "KV cache", kv_bytes, kv_how, later=not on_gpu),
        overhead,
    ), per_token


def _image(request: Request) -> tuple[Part, ...]:
    """vLLM's backend in NVIDIA's image. What it takes of the host was not measured."""
    found = facts.read(request.model)
    dtype = str(request.settings["dtype"])
    size = found.weight_bytes(dtype) if found is not None else None
    how = facts.weights_in_words(found, dtype) if found else facts.unknown(request.model)
    return (
        placed("cuda", "weights", size, how),
        Part("KV cache", 0, 0, "what is left of vLLM's share of the GPU"),
        Part("overhead", None, None, "vLLM in NVIDIA's image; not measured"),
    )
