"""What a Ray Serve instance takes: a Ray node, and a process for each replica."""

from __future__ import annotations

from dataclasses import replace

from servers.contract import Request
from servers.memory import MIB, Memory, Part
from servers.models import classifier_memory

# Measured as PSS after the warm-up (Ray 2.60, two cores): driver, raylet, GCS, agents, proxy and
# controller 431 MiB; a replica 261 MiB with its session of the model; the pipeline's router 114.
_NODE_BYTES = 431 * MIB
_REPLICA_BYTES = 166 * MIB
_ROUTER_BYTES = 114 * MIB


def memory(request: Request) -> Memory:
    """Every replica has the model for itself. Those that autoscaling may add come later."""
    settings = request.settings
    instances, batch = request.whole("instances"), request.whole("max_batch_size")
    classifiers = 2 if settings["pipeline"] else 1
    replicas = classifiers * instances
    overhead = _NODE_BYTES + replicas * _REPLICA_BYTES
    how = f"a Ray node and {replicas} × a replica; measured"
    if settings["pipeline"]:
        overhead, how = overhead + _ROUTER_BYTES, f"a router, {how}"
    parts = classifier_memory.parts(replicas, batch, overhead, how)
    if settings["autoscale"]:
        most = max(instances, request.whole("max_instances"))
        parts += _scaled(classifiers * (most - instances), batch)
    return Memory(parts)


def _scaled(replicas: int, batch: int) -> tuple[Part, ...]:
    how = f"{replicas} × a replica that autoscaling may add"
    parts = classifier_memory.parts(replicas, batch, replicas * _REPLICA_BYTES, how)
    return tuple(replace(part, later=True) for part in parts) if replicas else ()
