"""An OpenAI-compatible chat server on vLLM's async engine: the routes.

vLLM comes with such a server; this one is small enough to read in one sitting, and to change. The
engine does the batching: each request is one coroutine that waits for its own outputs, and all of
them share every step of the model.
"""

import asyncio
import uuid
from functools import partial
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from vllm import __version__
from vllm.v1.engine.async_llm import AsyncLLM

from servers.middleware import ModelMetrics, PrometheusMiddleware, add_tokens
from servers.vllm_fastapi.inside import answers, errors
from servers.vllm_fastapi.inside.chat import ChatRequest, Conversation


def make_app(engine: AsyncLLM, model: str) -> FastAPI:
    """The application: chat completions of `engine` under the name `model`."""
    app = FastAPI(title="vLLM FastAPI", version=__version__)
    errors.install(app)
    # In the registry that vLLM's own families are in, so that /metrics shows both.
    own_metrics = ModelMetrics()
    app.add_middleware(PrometheusMiddleware, metrics=own_metrics)
    conversation = Conversation(engine)

    @app.post("/v1/chat/completions")
    async def chat_completions(asked: ChatRequest, request: Request) -> Response:
        if asked.model != model:
            raise errors.unknown_model(asked.model, model)
        prompt = conversation.prompt(asked)
        params = conversation.sampling(asked, len(prompt["prompt_token_ids"]))
        request_id = f"chatcmpl-{request.headers.get('x-request-id') or uuid.uuid4().hex}"
        outputs = engine.generate(prompt, params, request_id)
        # The status is not sent before the first output is there: what the engine refuses is
        # still an HTTP error then, and not the first line of a stream with status 200.
        first = await while_connected(request, anext(outputs))
        if first is None:
            return Response(status_code=499)
        count = partial(add_tokens, request.scope)
        if asked.stream:
            return answers.Stream(answers.frames(asked, request_id, first, outputs, count))
        return JSONResponse(answers.whole(model, request_id, first, count))

    @app.get("/v1/models")
    async def models() -> dict:
        entry = {"id": model, "object": "model", "owned_by": "vllm"}
        return {
            "object": "list",
            "data": [entry | {"max_model_len": engine.model_config.max_model_len}],
        }

    @app.get("/health")
    async def health() -> Response:
        # The HTTP server can live on when the engine's process has died: then it is not well.
        dead = engine.errored
        return Response(status_code=HTTPStatus.SERVICE_UNAVAILABLE if dead else HTTPStatus.OK)

    @app.get("/version")
    async def version() -> dict:
        return {"version": __version__}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(own_metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return app


async def while_connected(request: Request, work):
    """What `work` gives; `None` if the client left first, and then `work` is cancelled.

    A cancelled `engine.generate` takes its request out of the running batch: nobody would read
    the answer, and others wait for the place.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.create_task(_left(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        leaving.cancel()
        working.cancel()


async def _left(request: Request) -> None:
    # The body has been read: the next message can only be that the client is gone.
    while (await request.receive())["type"] != "http.disconnect":
        pass
