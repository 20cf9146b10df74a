"""Ray Serve: replicas of Python classes that batch, scale and call each other, on a Ray node."""

from servers.contract import Engine, Environment
from servers.models.classifier import warm_requests
from servers.ray_serve.knobs import KNOBS, NO_KNOB
from servers.ray_serve.launch import HERE, launch, prepare, version
from servers.ray_serve.memory import memory
from servers.ray_serve.metrics import METRICS

ENGINE = Engine(
    name="ray-serve",
    title="Ray Serve",
    summary="The text classifier in Ray Serve: batching replicas, autoscaling, and a pipeline "
    "that splits requests between two classifiers.",
    ports={
        "http": 8300,
        "metrics": 8301,
        "gcs": 8302,
        "agent": 8303,
        "runtime_env": 8304,
        "dashboard_metrics": 8305,
    },
    launch=launch,
    knobs=KNOBS,
    no_knob=NO_KNOB,
    metrics=METRICS,
    metrics_lag_s=1.5,  # Its processes report once a second (`inside/run.py`).
    protocols=("classify",),
    environment=Environment(name="ray-serve", folder=HERE / "env"),
    prepare=prepare,
    version=version,
    warm_requests=warm_requests,
    memory=memory,
    notebooks=("06_five_servers",),
)
