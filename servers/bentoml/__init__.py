"""BentoML: the text classifier as a built bento, with adaptive batching."""

from pathlib import Path

from servers.bentoml.knobs import KNOBS, NO_KNOB
from servers.bentoml.launch import launch, prepare, version
from servers.bentoml.memory import memory
from servers.bentoml.metrics import METRICS
from servers.contract import Engine, Environment
from servers.models.classifier import warm_requests

ENGINE = Engine(
    name="bentoml",
    title="BentoML",
    summary="The text classifier in BentoML: a bento that is built, then served, and batches "
    "adaptively.",
    ports={"http": 3000},
    launch=launch,
    knobs=KNOBS,
    no_knob=NO_KNOB,
    metrics=METRICS,
    protocols=("classify",),
    environment=Environment(name="bentoml", folder=Path(__file__).parent / "env"),
    prepare=prepare,
    version=version,
    warm_requests=warm_requests,
    memory=memory,
    notebooks=("06_five_servers",),
)
