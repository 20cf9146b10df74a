"""vLLM's async engine behind a FastAPI application of our own: what a custom server looks like."""

from servers.contract import Engine
from servers.models import resolve_llm
from servers.vllm import ENVIRONMENT
from servers.vllm.knobs import KNOBS, NO_KNOB
from servers.vllm.launch import prepare, version
from servers.vllm.memory import memory
from servers.vllm_fastapi.launch import launch, warm_requests
from servers.vllm_fastapi.metrics import METRICS

ENGINE = Engine(
    name="vllm-fastapi",
    title="vLLM FastAPI",
    summary="vLLM's async engine behind a small FastAPI application of the lab, chat only.",
    ports={"http": 8005},
    launch=launch,
    prepare=prepare,
    knobs=KNOBS,
    no_knob=NO_KNOB,
    metrics=METRICS,
    protocols=("openai-chat",),
    environment=ENVIRONMENT,
    resolve_model=resolve_llm,
    version=version,
    warm_requests=warm_requests,
    memory=memory,
    notebooks=("04_vllm",),
)
