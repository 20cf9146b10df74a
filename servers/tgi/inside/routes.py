"""TGI's own routes, and which function answers which path."""

import time
from contextlib import aclosing

from documents import KEEP_ALIVE, answer_document, frame, simple_tokens, stream_frame
from errors import InferError, Invalid
from http_out import Left, Stream, answer, parse, read, refusal, unless_left
from openai_routes import OpenAiRoutes
from schemas import (
    ChatRequest,
    CompatGenerateRequest,
    GenerateRequest,
    Kind,
)
from settings import (
    MAX_BEST_OF,
    MAX_CLIENT_BATCH_SIZE,
    MAX_STOP_SEQUENCES,
    VALIDATION_WORKERS,
)
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.routing import Route

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
CLIENT_CLOSED_REQUEST = 499


class Routes:
    """The answers to every path. `facts` say what this server is (`version`, `router`, …)."""

    def __init__(self, infer, engine, facts):
        self._infer = infer
        self._engine = engine
        self._facts = facts
        self._openai = OpenAiRoutes(infer, facts)

    def app(self):
        """The ASGI application."""
        posts = {
            "/": self.compat,
            "/generate": self.generate,
            "/generate_stream": self.generate_stream,
            "/invocations": self.invocations,
            "/tokenize": self.tokenize,
            "/chat_tokenize": self.chat_tokenize,
            "/v1/chat/completions": self._openai.chat,
            "/v1/completions": self._openai.completions,
        }
        gets = {
            "/health": self.health,
            "/info": self.info,
            "/metrics": self.metrics,
            "/v1/models": self.models,
        }
        return Starlette(
            routes=[
                *(Route(path, self._guard(at), methods=["POST"]) for path, at in posts.items()),
                *(Route(path, at, methods=["GET"]) for path, at in gets.items()),
            ]
        )

    def _guard(self, endpoint):
        """The endpoint, given the request and its body, with its errors answered and counted."""

        async def guarded(request):
            try:
                return await endpoint(request, await read(request))
            except InferError as error:
                self._infer.metrics.failed(error.failure)
                return refusal(error, as_stream=endpoint == self.generate_stream)
            except (Left, ClientDisconnect):
                # The engine counts one it has, as TGI does, when it comes to its next token.
                return Response(status_code=CLIENT_CLOSED_REQUEST)

        return guarded

    async def compat(self, request, body):
        """`/`: a stream, or a list of one answer; with the prompt unless that is declined."""
        asked = parse(body, CompatGenerateRequest)
        if asked.parameters.return_full_text is None:
            asked.parameters.return_full_text = True
        if asked.stream:
            return self._streamed(asked)
        document, headers = await self._generated(request, asked)
        return answer([document], headers)

    async def generate(self, request, body):
        """`/generate`."""
        return answer(*await self._generated(request, parse(body, GenerateRequest)))

    async def generate_stream(self, request, body):
        """`/generate_stream`."""
        return self._streamed(parse(body, GenerateRequest))

    async def invocations(self, request, body):
        """`/invocations`: what SageMaker posts, told apart by the field that each kind needs."""
        kind = parse(body, Kind)
        if kind.inputs is not None:
            asked = parse(body, CompatGenerateRequest)
            if asked.stream:
                return self._streamed(asked)
            return answer(*await self._generated(request, asked))
        if kind.messages is not None:
            return await self._openai.chat(request, body)
        if kind.prompt is not None:
            return await self._openai.completions(request, body)
        raise Invalid("the body needs one of `inputs`, `messages` and `prompt`")

    async def tokenize(self, request, body):
        """`/tokenize`."""
        asked = parse(body, GenerateRequest)
        encoding = await self._infer.encode(asked.inputs, asked.add_special_tokens)
        return answer(simple_tokens(encoding, asked.inputs))

    async def chat_tokenize(self, request, body):
        """`/chat_tokenize`: the prompt that messages become, and its tokens; 404 if none."""
        self._infer.metrics.requests.inc()
        chat = parse(body, ChatRequest)
        try:
            text = self._openai.prompt_of(chat)
        except InferError as error:
            self._infer.metrics.failed(error.failure)
            return answer(error.document(), status=404)
        encoding = await self._infer.encode(text, add_special_tokens=False)
        return answer({"tokenize_response": simple_tokens(encoding, text), "templated_text": text})

    async def health(self, request):
        """`/health`: whether the engine's thread lives."""
        if self._engine.healthy:
            return Response()
        return answer({"error": "unhealthy", "error_type": "healthcheck"}, status=503)

    async def info(self, request):
        """`/info`."""
        limits = self._infer.settings
        return answer(
            {
                **self._facts,
                "model_id": limits.model_id,
                "max_concurrent_requests": limits.max_concurrent_requests,
                "max_best_of": MAX_BEST_OF,
                "max_stop_sequences": MAX_STOP_SEQUENCES,
                "max_input_tokens": limits.max_input_tokens,
                "max_total_tokens": limits.max_total_tokens,
                "validation_workers": VALIDATION_WORKERS,
                "max_client_batch_size": MAX_CLIENT_BATCH_SIZE,
            }
        )

    async def metrics(self, request):
        """`/metrics`."""
        return Response(self._infer.metrics.render(), headers={"content-type": PROMETHEUS})

    async def models(self, request):
        """`/v1/models`: a list of the one model, which is also that model's document.

        TGI answers a list and documents a model; this is both.
        """
        name = self._infer.settings.model_id
        model = {"id": name, "object": "model", "created": 0, "owned_by": name}
        return answer({**model, "object": "list", "data": [model]})

    async def _generated(self, request, asked):
        began_s = time.perf_counter()
        self._infer.metrics.requests.inc()
        best, others = await unless_left(request, self._infer.answer(asked, began_s))
        parameters = asked.parameters
        document = answer_document(
            best,
            others,
            self._infer.tokenizer,
            details=parameters.details or parameters.decoder_input_details,
            prompt=asked.inputs if parameters.return_full_text else "",
        )
        return document, {**self._about(asked), **_timings(best, began_s)}

    def _streamed(self, asked):
        self._infer.metrics.requests.inc()
        return Stream(self._frames(asked, time.perf_counter()), self._about(asked))

    async def _frames(self, asked, began_s):
        """A frame a token; an error is the last frame, whatever had been sent by then."""
        index, parameters = 0, asked.parameters
        prompt = asked.inputs if parameters.return_full_text else ""
        try:
            async with aclosing(self._infer.stream(asked, began_s)) as messages:
                async for message in messages:
                    if message is None:
                        yield KEEP_ALIVE
                        continue
                    index += 1
                    yield frame(
                        stream_frame(index, message, details=parameters.details, prompt=prompt)
                    )
        except InferError as error:
            self._infer.metrics.failed(error.failure)
            yield frame(error.document())

    def _about(self, asked):
        return {
            "x-compute-type": self._facts["router"],
            "x-compute-characters": str(len(asked.inputs)),
        }


def _timings(best, began_s):
    """TGI's headers of an answer that is not streamed; times are in milliseconds."""
    now, end = time.perf_counter(), best.end
    inference_s = now - end.started_s
    milliseconds = {
        "x-total-time": now - began_s,
        "x-validation-time": end.queued_s - began_s,
        "x-queue-time": end.started_s - end.queued_s,
        "x-inference-time": inference_s,
        "x-time-per-token": inference_s / end.generated_tokens,
    }
    return {
        **{name: str(int(seconds * 1000)) for name, seconds in milliseconds.items()},
        "x-compute-time": f"{now - began_s:.6f}",
        "x-prompt-tokens": str(best.input_length),
        "x-generated-tokens": str(end.generated_tokens),
    }
