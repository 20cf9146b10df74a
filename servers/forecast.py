"""What an instance was expected to take of memory when it was started, to be kept beside it.

The same numbers by which `lab up` refuses what cannot fit (`servers.planner`), as a document: in
the instance's state, and in the manifest of every run on it (measure/README.md), so that they can
be held against what was measured.
"""

from __future__ import annotations

from typing import Any

from servers import gpus
from servers.contract import Engine, Request
from servers.memory import Memory, Part


def of(engine: Engine, request: Request) -> dict[str, Any] | None:
    """The forecast for this instance; `None` for an engine that states none."""
    if engine.memory is None:
        return None
    memory = engine.memory(request)
    total = _gpu_bytes() if request.device == "cuda" and memory.gpu_share is not None else None
    return document(memory, request.device, total)


def document(memory: Memory, device: str, gpu_total_bytes: int | None = None) -> dict[str, Any]:
    """The forecast as it is kept. GPU bytes are of each GPU; unknown ones are `None`.

    Where an instance takes a share of a GPU, its KV cache is what its other parts leave of that,
    as far as the GPU's size is known.
    """
    parts = [_part(part) for part in memory.parts]
    gpu = {"start": memory.gpu(later=False), "full": memory.gpu(later=True)}
    if memory.gpu_share is not None and gpu_total_bytes is not None:
        share = int(memory.gpu_share * gpu_total_bytes)
        left = max(share - gpu["start"], 0)
        parts = [one | {"gpu_bytes": left} if one["what"] == "KV cache" else one for one in parts]
        gpu = {"start": share, "full": share}
    return {
        "device": device,
        "gpus": memory.gpus if device == "cuda" else 0,
        "gpu_share": memory.gpu_share,
        "kv_bytes_per_token": memory.kv_bytes_per_token,
        "parts": parts,
        "host_bytes": {"start": memory.host(later=False), "full": memory.host(later=True)},
        "gpu_bytes": gpu,
    }


def _part(part: Part) -> dict[str, Any]:
    return {
        "what": part.what,
        "host_bytes": part.host_bytes,
        "gpu_bytes": part.gpu_bytes,
        "later": part.later,
        "how": part.how,
    }


def _gpu_bytes() -> int | None:
    """The size of the smallest GPU that engines may use here."""
    sizes = [one.total_bytes for one in gpus.visible(gpus.Driver().look()) if one.total_bytes]
    return min(sizes, default=None)
