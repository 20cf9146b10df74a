"""How the custom server on vLLM's engine is started: its own module, vLLM's own engine flags."""

from __future__ import annotations

from dataclasses import replace

from servers import paths
from servers.contract import Launch, Request, WarmRequest
from servers.vllm.launch import engine_arguments
from servers.vllm.launch import launch as launch_vllm


def launch(request: Request) -> Launch:
    """As vLLM's own server, but for the module that is run. Raises `ServerError` likewise."""
    own = launch_vllm(request)
    argv = (
        *(str(request.interpreter), "-m", "servers.vllm_fastapi.inside"),
        *("--host", request.host, "--port", str(request.ports["http"])),
        *engine_arguments(request),
    )
    return replace(own, argv=argv, env={**own.env, "PYTHONPATH": str(paths.ROOT)})


def warm_requests(request: Request) -> tuple[WarmRequest, ...]:
    """A short chat, shorter than a block of the KV cache: no prefix is found again."""
    body = {
        "model": request.served_name,
        "messages": [{"role": "user", "content": "What is the capital of France?"}],
        "max_tokens": 8,
        "temperature": 0,
        "ignore_eos": True,
    }
    return (WarmRequest("/v1/chat/completions", body),)
