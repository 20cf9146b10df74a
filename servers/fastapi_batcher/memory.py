"""What a FastAPI batcher takes: one process, a session of the model for each of `instances`."""

from __future__ import annotations

from servers.contract import Request
from servers.memory import MIB, Memory
from servers.models import classifier_memory

# Measured as PSS after the warm-up (FastAPI, uvicorn, onnxruntime, tokenizers; two cores): 227 MiB
# with one session of the model, 132 of them its own.
_SERVER_BYTES = 132 * MIB


def memory(request: Request) -> Memory:
    """Sessions share the process."""
    sessions, batch = request.whole("instances"), request.whole("max_batch_size")
    return Memory(classifier_memory.parts(sessions, batch, _SERVER_BYTES, "the server; measured"))
