"""What a BentoML instance takes: its process manager, and a worker for each of `instances`."""

from __future__ import annotations

from servers.contract import Request
from servers.memory import MIB, Memory
from servers.models import classifier_memory

# Measured as PSS after the warm-up (BentoML 1.4, two cores): 104 MiB, and 323 MiB a worker, its
# session of the model included.
_MANAGER_BYTES = 104 * MIB
_WORKER_BYTES = 228 * MIB


def memory(request: Request) -> Memory:
    """Every worker has the model for itself."""
    workers, batch = request.whole("instances"), request.whole("max_batch_size")
    overhead = _MANAGER_BYTES + workers * _WORKER_BYTES
    how = f"process manager and {workers} × a worker; measured"
    return Memory(classifier_memory.parts(workers, batch, overhead, how))
