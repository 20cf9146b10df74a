"""The application: one classifier asked in three ways.

`POST /classify` is synchronous: one request, one answer. `POST /classify/stream` takes a list
and sends each answer as a server-sent event when it is there. `POST /jobs` accepts a list and
answers at once with an id; `GET /jobs/{id}` says how far it is. All three wait in one batcher.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastapi
import onnxruntime
from fastapi import FastAPI
from prometheus_client import REGISTRY
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from serving.classifying import Refused, read
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from servers.fastapi_batcher.inside.batching import DeadlineBatcher, Draining, QueueFull
from servers.fastapi_batcher.inside.exports import BatchMetrics, StateMetrics
from servers.fastapi_batcher.inside.jobs import JobQueue, JobStore, TooManyJobs
from servers.fastapi_batcher.inside.model import Model
from servers.fastapi_batcher.inside.polling import PollingBatcher
from servers.middleware import ModelMetrics, PrometheusMiddleware

MAX_REQUESTS = 256
"""In one list, streamed or as a job."""
MAX_BODY_BYTES = 4 << 20
_CLIENT_LEFT = Response(status_code=499)
_LATER = {"Retry-After": "1"}
_PATIENCE_S = 0.02


@dataclass(frozen=True)
class Settings:
    """The knobs, by their names."""

    batcher: str
    max_batch_size: int
    max_queue_delay_us: int
    poll_interval_us: int
    max_queue_size: int
    instances: int
    threads: int


class Service:
    """The model behind its batcher, and the jobs behind both."""

    def __init__(self, settings: Settings, model: Path, jobs: Path) -> None:
        self._settings = settings
        self._folder = model
        self._jobs_file = jobs
        self._on_batch = BatchMetrics(REGISTRY)

    def start(self) -> None:
        """Load the model; in a running event loop, before the first request."""
        settings = self._settings
        self.model = Model(self._folder, settings.instances, settings.threads)
        if settings.batcher == "polling":
            # As guides have it: what is asked is looked at in the batch, too late to refuse one.
            self.prepared: Callable[[Any], Any] = lambda asked: asked
            self.batcher: DeadlineBatcher | PollingBatcher = PollingBatcher(
                self.model.run_asked,
                max_batch_size=settings.max_batch_size,
                interval_s=settings.poll_interval_us / 1e6,
                on_batch=self._on_batch,
            )
            self._room_for_jobs = settings.max_batch_size
        else:
            self.prepared = self.model.ids
            self.batcher = DeadlineBatcher(
                self.model.run,
                max_batch_size=settings.max_batch_size,
                max_delay_s=settings.max_queue_delay_us / 1e6,
                max_queue=settings.max_queue_size,
                instances=settings.instances,
                on_batch=self._on_batch,
            )
            self._room_for_jobs = min(settings.max_batch_size, max(settings.max_queue_size // 2, 1))
        self.jobs = JobQueue(JobStore(self._jobs_file), self._compute_job)
        self.metrics = StateMetrics(
            REGISTRY, lambda: self.batcher.waiting, lambda: self.batcher.running
        )

    def submit(self, asked: Any) -> asyncio.Future[dict[str, Any]]:
        """Its answer, when it comes. Raises `Refused`, `QueueFull` or `Draining`."""
        return self.batcher.submit(self.prepared(asked))

    def submit_all(self, requests: list[Any]) -> list[asyncio.Future[dict[str, Any]]]:
        """Answers to all, a bad request's being its fault; or `QueueFull` or `Draining`."""
        taken: list[asyncio.Future[dict[str, Any]]] = []
        try:
            for asked in requests:
                taken.append(self._submit_or_fault(asked))
        except (QueueFull, Draining):
            for future in taken:
                future.cancel()
            raise
        return taken

    def _submit_or_fault(self, asked: Any) -> asyncio.Future[dict[str, Any]]:
        try:
            return self.submit(asked)
        except Refused as fault:
            future = asyncio.get_running_loop().create_future()
            future.set_exception(fault)
            return future

    async def _compute_job(self, requests: list[Any]) -> list[dict[str, Any]]:
        """A job waits until it takes nobody's place: its client is not at the door.

        It never has more in the queue than a batch, nor than half of what may wait.
        """
        taken = []
        for asked in requests:
            while self.batcher.waiting >= self._room_for_jobs:
                await asyncio.sleep(_PATIENCE_S)
            taken.append(self._submit_or_fault(asked))
        return [await answer_or_error(future) for future in taken]


async def answer_or_error(future: asyncio.Future[dict[str, Any]]) -> dict[str, Any]:
    """Its answer, or `{"error": ...}`: in a list, one that fails is no failure of the others."""
    try:
        return await future
    except Exception as error:
        return {"error": str(error)}


def make_app(settings: Settings, model: Path, jobs: Path) -> FastAPI:
    """The application. Its model is loaded when it starts, before it listens."""
    service = Service(settings, model, jobs)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        service.start()
        yield
        await service.jobs.stop()

    app = FastAPI(
        title="FastAPI batcher",
        lifespan=lifespan,
        openapi_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.service = service
    metrics = ModelMetrics(REGISTRY)
    metrics.expect("/classify", "POST", ("200", "429", "503"))
    app.add_middleware(PrometheusMiddleware, metrics=metrics)
    _add_errors(app)
    _add_routes(app, service)
    return app


def _add_errors(app: FastAPI) -> None:
    answers: dict[type[Exception], Callable[[Any], JSONResponse]] = {
        Refused: lambda error: _error(400, str(error)),
        QueueFull: lambda _: _error(429, "the queue is full; ask again later", _LATER),
        TooManyJobs: lambda _: _error(429, "too many jobs wait; ask again later", _LATER),
        Draining: lambda _: _error(503, "the server is being stopped", _LATER),
        ClientDisconnect: lambda _: _CLIENT_LEFT,
        HTTPException: lambda error: _error(error.status_code, str(error.detail), error.headers),
        Exception: lambda error: _error(500, f"{type(error).__name__}: {error}"),
    }
    for kind, made in answers.items():
        app.add_exception_handler(kind, lambda _, error, made=made: made(error))


def _error(status: int, words: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"error": words}, status, headers)


def _add_routes(app: FastAPI, service: Service) -> None:
    @app.post("/classify")
    async def classify(request: Request) -> Response:
        future = service.submit(await _read(request))
        leaving = _cancel_when_left(request, future)
        try:
            return JSONResponse(await future)
        except asyncio.CancelledError:
            if not future.cancelled():
                raise
            return _CLIENT_LEFT
        finally:
            leaving.cancel()

    @app.post("/classify/stream")
    async def stream(request: Request) -> Response:
        futures = service.submit_all(_requests(await _read(request)))
        return EventStream(futures)

    @app.post("/jobs")
    async def accept(request: Request) -> Response:
        requests = _requests(await _read(request))
        if service.batcher.draining:
            raise Draining
        job = await service.jobs.accept(requests)
        where = f"/jobs/{job}"
        return JSONResponse({"id": job, "status": "waiting"}, 202, {"Location": where})

    @app.get("/jobs/{job}")
    async def look(job: str) -> Response:
        found = await service.jobs.find(job)
        if found is None:
            return _error(404, f"there is no job {job!r}; results are kept for a day")
        results = {} if found.results is None else {"results": found.results}
        return JSONResponse({"id": found.id, "status": found.status, **results})

    @app.get("/health")
    async def health() -> Response:
        if service.batcher.draining:
            raise Draining
        return Response()

    @app.get("/metrics")
    async def metrics() -> Response:
        service.metrics.show_jobs(await service.jobs.counts())
        return Response(generate_latest(REGISTRY), media_type=CONTENT_TYPE_LATEST)

    @app.get("/")
    async def about() -> Response:
        versions = f"FastAPI {fastapi.__version__}, onnxruntime {onnxruntime.__version__}"
        return JSONResponse({"version": versions})


async def _read(request: Request) -> dict[str, Any]:
    """The JSON object of a body. Raises `Refused`, or 413 as soon as the body is too large."""
    # FastAPI's own bound answers outside of the middleware, which then counts a 500.
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"the body is larger than {MAX_BODY_BYTES} bytes")
    return read(bytes(body))


def _requests(asked: dict[str, Any]) -> list[Any]:
    """The list of requests in a body. Raises `Refused`."""
    found = asked.get("requests")
    if not isinstance(found, list) or not 1 <= len(found) <= MAX_REQUESTS:
        raise Refused(f"`requests` must be a list of 1 to {MAX_REQUESTS} requests")
    if not all(isinstance(one, dict) for one in found):
        raise Refused("each of `requests` must be an object with `input_ids` or `text`")
    return found


def _cancel_when_left(request: Request, future: asyncio.Future[Any]) -> asyncio.Task[Any]:
    """Watch the connection: a client that has gone gives up its place in the queue."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            continue
        future.cancel()

    return asyncio.create_task(watch())


class EventStream(StreamingResponse):
    """An event for each answer, in the order in which they come; `index` says whose it is.

    However it ends, what is still waiting then gives up its place in the queue.
    """

    def __init__(self, futures: list[asyncio.Future[dict[str, Any]]]) -> None:
        self._futures = futures
        super().__init__(self._events(), media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            for future in self._futures:
                future.cancel()

    async def _events(self) -> AsyncIterator[bytes]:
        left = {future: index for index, future in enumerate(self._futures)}
        while left:
            done, _ = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
            for future in sorted(done, key=left.__getitem__):
                found = {"index": left.pop(future), **await answer_or_error(future)}
                yield b"data: " + json.dumps(found).encode() + b"\n\n"
        yield b"data: [DONE]\n\n"
