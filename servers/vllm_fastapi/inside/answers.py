"""What goes back: one document, or a stream of server-sent events, in the shape of OpenAI's API."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send
from vllm.outputs import RequestOutput

from servers.vllm_fastapi.inside import errors
from servers.vllm_fastapi.inside.chat import ChatRequest


class Stream(StreamingResponse):
    """A stream that closes its source however it ends: the engine is then told at once."""

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        super().__init__(content, media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and close the source after that or instead."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.body_iterator.aclose()


async def frames(
    asked: ChatRequest,
    request_id: str,
    first: RequestOutput,
    later: AsyncIterator[RequestOutput],
    count: Callable[[int], None],
) -> AsyncIterator[bytes]:
    """The events of an answer: the role, the pieces of text, usage if asked for, `[DONE]`.

    `count` is told of the tokens as they come.
    """
    options = asked.stream_options
    created, counted = int(time.time()), 0

    def chunk(**more) -> dict:
        facts = {"id": request_id, "object": "chat.completion.chunk", "created": created}
        return {**facts, "model": asked.model, **more}

    async with aclosing(later):
        try:
            role = {"role": "assistant", "content": ""}
            yield event(chunk(choices=[_choice("delta", role, None)]))
            async for output in _from(first, later):
                (piece,) = output.outputs
                counted += len(piece.token_ids)
                count(len(piece.token_ids))
                delta = {"content": piece.text}
                document = chunk(choices=[_choice("delta", delta, piece.finish_reason)])
                if options and options.continuous_usage_stats:
                    document["usage"] = usage(first, counted)
                yield event(document)
            if options and options.include_usage:
                yield event(chunk(choices=[], usage=usage(first, counted)))
        except Exception as error:
            # The status was sent long ago: only the stream itself can still tell.
            yield event(errors.document(error))
        yield b"data: [DONE]\n\n"


def whole(model: str, request_id: str, output: RequestOutput, count: Callable[[int], None]) -> dict:
    """The answer that is not streamed, from the engine's one and final output."""
    (answer,) = output.outputs
    count(len(answer.token_ids))
    message = {"role": "assistant", "content": answer.text}
    return {
        "id": request_id,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [_choice("message", message, answer.finish_reason)],
        "usage": usage(output, len(answer.token_ids)),
    }


def usage(output: RequestOutput, output_tokens: int) -> dict:
    """The tokens of prompt and answer, as the engine counted them."""
    prompt_tokens = len(output.prompt_token_ids or ())
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": prompt_tokens + output_tokens,
        "prompt_tokens_details": {"cached_tokens": output.num_cached_tokens or 0},
    }


def event(document: dict) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(document, ensure_ascii=False).encode() + b"\n\n"


def _choice(key: str, text: dict, finish_reason: str | None) -> dict:
    return {"index": 0, key: text, "finish_reason": finish_reason}


async def _from(
    first: RequestOutput, later: AsyncIterator[RequestOutput]
) -> AsyncIterator[RequestOutput]:
    yield first
    async for output in later:
        yield output
