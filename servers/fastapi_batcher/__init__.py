"""The dynamic batcher that guides write by hand, written right, and its naive form beside it."""

from pathlib import Path

from servers.contract import Engine, Environment
from servers.fastapi_batcher.knobs import KNOBS, NO_KNOB
from servers.fastapi_batcher.launch import launch, prepare, version
from servers.fastapi_batcher.memory import memory
from servers.fastapi_batcher.metrics import METRICS
from servers.models.classifier import warm_requests

ENGINE = Engine(
    name="fastapi-batcher",
    title="FastAPI batcher",
    summary="The text classifier behind FastAPI and a dynamic batcher of the lab's own: "
    "synchronous, streamed, and as jobs in a durable queue. A naive batcher is a knob away.",
    ports={"http": 8030},
    launch=launch,
    knobs=KNOBS,
    no_knob=NO_KNOB,
    metrics=METRICS,
    protocols=("classify",),
    environment=Environment(name="fastapi-batcher", folder=Path(__file__).parent / "env"),
    prepare=prepare,
    version=version,
    warm_requests=warm_requests,
    memory=memory,
    notebooks=("01_serving_patterns", "06_five_servers", "07_write_a_batcher", "09_monitoring"),
)
