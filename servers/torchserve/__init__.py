"""TorchServe: PyTorch's own model server, batching in front of Python workers. Archived."""

from pathlib import Path

from servers.contract import Engine, Environment
from servers.models.classifier import warm_requests
from servers.torchserve.knobs import KNOBS, NO_KNOB
from servers.torchserve.launch import MODEL, launch, prepare, version
from servers.torchserve.memory import memory
from servers.torchserve.metrics import METRICS

ENGINE = Engine(
    name="torchserve",
    title="TorchServe (archived 2025-08)",
    summary="The text classifier in TorchServe 0.12: a Java server that batches for Python "
    "workers. The project was archived in August 2025: nothing is mended any more.",
    ports={
        "http": 8080,
        "management": 8081,
        "metrics": 8082,
        "grpc": 7070,
        "grpc_management": 7071,
    },
    launch=launch,
    knobs=KNOBS,
    no_knob=NO_KNOB,
    metrics=METRICS,
    protocols=("classify",),
    environment=Environment(
        name="torchserve",
        folder=Path(__file__).parent / "env",
        torch="2.13.0",
        cuda="requirements-cuda.txt",
    ),
    prepare=prepare,
    served_models={"classify": MODEL},
    version=version,
    warm_requests=warm_requests,
    memory=memory,
    notebooks=("06_five_servers", "08_cold_start"),
)
