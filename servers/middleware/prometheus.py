"""The middleware: one request's label, times and end. Pure ASGI, so streams pass unbuffered."""

from __future__ import annotations

import time
from functools import partial

import anyio
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from servers.middleware.metrics import ModelMetrics
from servers.middleware.routes import template

CLIENT_DISCONNECTED = "client_disconnected"
"""`status` of a request whose client left before its answer was complete."""
INCOMPLETE = "incomplete"
"""`status` of an answer that broke off after its headers were sent."""
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"}


class PrometheusMiddleware:
    """Counts and times every HTTP request of `app`, to the last byte of its answer.

    A request is active until then. One whose client leaves first counts as
    `CLIENT_DISCONNECTED`, whatever status was meant for it.
    """

    def __init__(self, app: ASGIApp, metrics: ModelMetrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection's request; what is no HTTP passes through."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        route = template(scope)
        self.metrics.enter(scope, route)
        known = scope["method"] if scope["method"] in _METHODS else "other"
        measured = _Measured(self.metrics, route, known)
        try:
            await self.app(
                scope,
                partial(_receive, measured, receive),
                partial(_send, measured, receive, send),
            )
        finally:
            measured.end()


class _Measured:
    """One request from its arrival to its end, which counts once."""

    def __init__(self, metrics: ModelMetrics, route: str, method: str) -> None:
        self._began_s = time.perf_counter()
        self._metrics = metrics
        self._labels = (route, method)
        self._active = metrics.active.labels(route, method)
        self._active.inc()
        self._ended = False
        self.sent_status: int | None = None
        self.client_left = False

    def end(self, complete: bool = False) -> None:
        """Count the request as it stands, if it was not counted before."""
        if self._ended:
            return
        self._ended = True
        labels = (*self._labels, self._status(complete))
        self._metrics.latency.labels(*labels).observe(time.perf_counter() - self._began_s)
        self._metrics.requests.labels(*labels).inc()
        self._active.dec()

    def _status(self, complete: bool) -> str:
        if self.client_left:
            return CLIENT_DISCONNECTED
        if self.sent_status is None:
            return "500"  # What a server answers for an application that raised or said nothing.
        return str(self.sent_status) if complete else INCOMPLETE


async def _receive(measured: _Measured, receive: Receive) -> Message:
    message = await receive()
    if message["type"] == "http.disconnect":
        measured.client_left = True
    return message


async def _send(measured: _Measured, receive: Receive, send: Send, message: Message) -> None:
    last = message["type"] == "http.response.body" and not message.get("more_body", False)
    # A server drops what is sent to a client that has left, without a word: ask before the end.
    if last and not measured.client_left:
        measured.client_left = await _has_left(receive)
    try:
        await send(message)
    except OSError:
        measured.client_left = True
        raise
    if message["type"] == "http.response.start":
        measured.sent_status = int(message["status"])
    if last:
        measured.end(complete=True)


async def _has_left(receive: Receive) -> bool:
    """Whether a disconnect is known now; parts of a body that nobody read stand before it."""
    with anyio.CancelScope() as at_once:
        at_once.cancel()
        while (await receive())["type"] != "http.disconnect":
            continue
        return True
    return False
