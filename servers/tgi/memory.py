"""What a TGI instance takes, and what the TGI-compatible server does."""

from __future__ import annotations

from servers.contract import Request
from servers.memory import MIB, Memory, Part, placed
from servers.models import facts
from servers.tgi.launch import COMPATIBLE_TOTAL_TOKENS

# Measured as PSS of the TGI-compatible server after the warm-up, less weights (transformers 5,
# torch 2.13, two cores): 369 MiB with the tiny Llama.
_SERVER_BYTES = 370 * MIB


def memory(request: Request) -> Memory:
    """Weights, and keys and values of as many tokens as the batch may hold."""
    ours = request.way == "environment"
    found = facts.read(request.model)
    dtype = _dtype(request)
    size = found.weight_bytes(dtype) if found is not None else None
    how = facts.weights_in_words(found, dtype) if found else facts.unknown(request.model)
    weights = placed(request.device, "weights", size, how)
    per_token = found.kv_bytes_per_token(dtype) if found is not None else None
    on_gpu = request.device == "cuda"
    overhead = (
        Part("overhead", _SERVER_BYTES, None if on_gpu else 0, "the server; measured")
        if ours
        else Part("overhead", None, None if on_gpu else 0, "TGI itself; not measured")
    )
    kv_cache = _kv_cache(request, per_token, ours)
    return Memory((weights, kv_cache, overhead), kv_bytes_per_token=per_token)


def _kv_cache(request: Request, per_token: int | None, ours: bool) -> Part:
    total = request.settings["max_batch_total_tokens"]
    if total is None and not ours:
        # It looks at its start how many tokens fit into what is free.
        return placed(request.device, "KV cache", 0, "what is free of the device at its start")
    tokens = COMPATIBLE_TOTAL_TOKENS if total is None else request.whole("max_batch_total_tokens")
    size = None if per_token is None else tokens * per_token
    how = f"max_batch_total_tokens={tokens}" + (", as they come" if ours else "")
    return placed(request.device, "KV cache", size, how, later=ours)


def _dtype(request: Request) -> str:
    asked = request.settings["dtype"]
    if asked is not None:
        return str(asked)
    # As `models/inside/serving/generating.py` chooses; TGI itself takes the model's own.
    return facts.fastest_dtype(request.device) if request.way == "environment" else "auto"
