"""Text Generation Inference (TGI), or a server of the lab that keeps TGI's contract.

TGI comes as a Docker image and as a source build, and wants a GPU. Where neither its launcher nor
Docker is there, the lab's own server stands in, under its own name: TGI's HTTP contract, admission,
batching and metrics over transformers (`inside/`).
"""

from pathlib import Path

from servers.contract import Engine, Environment
from servers.models import resolve_llm
from servers.tgi.knobs import KNOBS, NO_KNOB
from servers.tgi.launch import (
    COMPATIBLE,
    IMAGE,
    PORTS,
    PROGRAM,
    launch,
    prepare,
    version,
    warm_requests,
)
from servers.tgi.memory import memory
from servers.tgi.metrics import METRICS

ENGINE = Engine(
    name="tgi",
    title="Text Generation Inference",
    summary="Hugging Face's server of language models, continuous batching (3.3.7, the last; in "
    "maintenance since 2025). Without it: a TGI-compatible server over transformers.",
    ports=PORTS,
    launch=launch,
    knobs=KNOBS,
    no_knob=NO_KNOB,
    metrics=METRICS,
    protocols=("tgi", "openai-chat", "openai-completions"),
    environment=Environment(
        name="tgi",
        folder=Path(__file__).parent / "env",
        torch="2.13.0",
        cuda="requirements-cuda.txt",
        title=COMPATIBLE,
    ),
    prepare=prepare,
    resolve_model=resolve_llm,
    version=version,
    ways=("path", "docker", "environment"),
    program=PROGRAM,
    image=IMAGE,
    warm_requests=warm_requests,
    memory=memory,
    notebooks=("05_tgi",),
)
