"""Between HTTP and the routes: bodies read strictly, errors as documents, streams, leavers."""

import asyncio
from contextlib import aclosing

from documents import dumps, frame
from errors import InferError, Invalid
from pydantic import ValidationError
from settings import PAYLOAD_LIMIT_BYTES
from starlette.responses import Response, StreamingResponse

STREAM = "text/event-stream"


class TooLarge(InferError):
    """A body beyond TGI's `--payload-limit`."""

    status, error_type, failure = 413, "validation", "validation"


async def read(request):
    """The bytes of the body. Raises `TooLarge`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > PAYLOAD_LIMIT_BYTES:
            raise TooLarge(f"the body is larger than {PAYLOAD_LIMIT_BYTES} bytes")
    return bytes(body)


def parse(body, schema):
    """The body as `schema`. Raises `Invalid`.

    TGI answers 400 in plain text where a body is no JSON at all; here that is a 422 with a
    document, the only such status in TGI's own OpenAPI document.
    """
    try:
        return schema.model_validate_json(body)
    except ValidationError as error:
        raise Invalid(_first(error)) from None


def _first(error):
    """What is wrong with the body, in one line."""
    one = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in one["loc"])
    return f"{where}: {one['msg']}" if where else str(one["msg"])


def answer(document, headers=None, status=200):
    """A JSON answer."""
    return Response(dumps(document), status, headers, "application/json")


def refusal(error, *, as_stream=False):
    """An error before anything was sent. TGI documents those of `/generate_stream` as events."""
    if as_stream:
        return Response(frame(error.document()), error.status, media_type=STREAM)
    return answer(error.document(), status=error.status)


class Stream(StreamingResponse):
    """A stream of frames, whose generator ends with it however it ends."""

    def __init__(self, frames, headers):
        headers = {**headers, "cache-control": "no-cache", "x-accel-buffering": "no"}
        super().__init__(frames, 200, headers, STREAM)

    async def __call__(self, scope, receive, send):
        """Send the frames; stop if the client leaves."""
        async with aclosing(self.body_iterator):
            await super().__call__(scope, receive, send)


class Left(Exception):
    """The client has closed its connection before its answer was complete."""


async def unless_left(request, work):
    """The result of `work`, which is cancelled if the client leaves. Raises `Left` then."""
    task, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Left
        return task.result()
    finally:
        for one in (task, leaving):
            one.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


async def _disconnected(request):
    while (await request.receive())["type"] != "http.disconnect":
        pass
