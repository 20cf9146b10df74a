"""What a TorchServe instance takes: a Java server, and a worker for each of `instances`."""

from __future__ import annotations

from servers.contract import Request
from servers.memory import MIB, Memory, Part
from servers.models import classifier_memory

# Measured as PSS after the warm-up (TorchServe 0.12, OpenJDK 17, two cores): Java 193 MiB, of which
# about 110 are not its heap; a worker, which imports torch, 421 MiB with its session of the model.
_JAVA_BYTES = 193 * MIB
_JAVA_BESIDE_HEAP_BYTES = 110 * MIB
_WORKER_BYTES = 326 * MIB


def memory(request: Request) -> Memory:
    """Every worker has the model for itself; Java's heap grows up to `heap_mib`."""
    workers, batch = request.whole("instances"), request.whole("max_batch_size")
    heap = request.whole("heap_mib") * MIB
    parts = classifier_memory.parts(
        workers,
        batch,
        _JAVA_BYTES + workers * _WORKER_BYTES,
        f"Java and {workers} × a worker with torch; measured",
    )
    grows = max(heap + _JAVA_BESIDE_HEAP_BYTES - _JAVA_BYTES, 0)
    return Memory((*parts, Part("overhead", grows, 0, "Java's heap, up to heap_mib", later=True)))
