"""How the custom server on vLLM's engine is started: its own module, vLLM's own engine flags."""

from __future__ import annotations

from dataclasses import replace

from servers import paths
from servers.contract import Launch, Request
from servers.vllm.launch import engine_arguments
from servers.vllm.launch import launch as launch_vllm


def launch(request: Request) -> Launch:
    """As vLLM's own server, but for the module that is run. Raises `ServerError` likewise."""
    own = launch_vllm(request)
    argv = (
        *(str(request.python), "-m", "servers.vllm_fastapi.inside"),
        *("--host", request.host, "--port", str(request.ports["http"])),
        *engine_arguments(request),
    )
    return replace(own, argv=argv, env={**own.env, "PYTHONPATH": str(paths.ROOT)})
