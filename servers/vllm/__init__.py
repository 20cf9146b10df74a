"""vLLM: paged KV cache and continuous batching behind an OpenAI-compatible server."""

from pathlib import Path

from servers.contract import Engine, Environment
from servers.models import resolve_llm
from servers.vllm.knobs import KNOBS, NO_KNOB
from servers.vllm.launch import launch, offline, prepare, version, warm_requests
from servers.vllm.memory import memory
from servers.vllm.metrics import METRICS

ENVIRONMENT = Environment(
    name="vllm",
    folder=Path(__file__).parent / "env",
    torch="2.13.0",
    cuda="requirements-cuda.txt",
)
"""Shared by everything that runs on vLLM: it is built once."""

ENGINE = Engine(
    name="vllm",
    title="vLLM",
    summary="Language models with paged KV cache and continuous batching, OpenAI-compatible.",
    ports={"http": 8000},
    launch=launch,
    prepare=prepare,
    knobs=KNOBS,
    no_knob=NO_KNOB,
    metrics=METRICS,
    protocols=("openai-chat", "openai-completions"),
    environment=ENVIRONMENT,
    resolve_model=resolve_llm,
    version=version,
    warm_requests=warm_requests,
    memory=memory,
    offline=offline,
    notebooks=("00_first_run", "01_serving_patterns", "02_tails", "04_vllm", "11_gpu_memory"),
)
