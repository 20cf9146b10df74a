"""The OpenAI API over the same engine: chat completions and completions."""

import asyncio
import time
from contextlib import aclosing

from documents import KEEP_ALIVE, frame
from errors import InferError, Invalid
from http_out import Stream, answer, parse, unless_left
from infer import together
from openai_documents import (
    Shell,
    chat_answer,
    chat_choice,
    chat_request,
    completion_choice,
    completion_request,
    usage,
)
from schemas import ChatRequest, CompletionRequest
from settings import MAX_CLIENT_BATCH_SIZE

DONE = b"data: [DONE]\n\n"


class OpenAiRoutes:
    """`/v1/chat/completions` and `/v1/completions`."""

    def __init__(self, infer, facts):
        self._infer = infer
        self._fingerprint = f"{facts['version']}-native"

    def prompt_of(self, chat):
        """The prompt that a chat's messages become. Raises `InferError`."""
        fields = {"exclude_none": True, "exclude": {"content"}}
        return self._infer.templated(
            [
                {**one.model_dump(**fields), "content": self._infer.plain_text(one.content)}
                for one in chat.messages
            ]
        )

    async def chat(self, request, body):
        """`/v1/chat/completions`, streamed or not."""
        began_s = time.perf_counter()
        self._infer.metrics.requests.inc()
        chat = parse(body, ChatRequest)
        asked = chat_request(chat, self.prompt_of(chat))
        logprobs = bool(chat.logprobs)
        if chat.stream:
            include_usage = chat.stream_options is not None and chat.stream_options.include_usage
            return Stream(self._chat_frames(asked, began_s, logprobs, include_usage), {})
        best, _ = await unless_left(request, self._infer.answer(asked, began_s))
        shell = self._shell("chat.completion")
        counts = usage(best.input_length, best.end.generated_tokens)
        return answer(shell.document([chat_answer(best, logprobs)], usage=counts))

    async def _chat_frames(self, asked, began_s, logprobs, include_usage):
        shell = self._shell("chat.completion.chunk")
        try:
            async with aclosing(self._infer.stream(asked, began_s)) as messages:
                async for message in messages:
                    if message is None:
                        yield KEEP_ALIVE
                        continue
                    prompt_tokens, token, top_tokens, end = message
                    choice = chat_choice(token, top_tokens, end, logprobs)
                    yield frame(shell.document([choice], usage=None))
                    if end is not None and include_usage:
                        counts = usage(prompt_tokens, end.generated_tokens)
                        yield frame(shell.document([], usage=counts))
        except InferError as error:
            yield self._failure(error)
        yield DONE

    async def completions(self, request, body):
        """`/v1/completions`, streamed or not, of one prompt or several."""
        began_s = time.perf_counter()
        self._infer.metrics.requests.inc()
        asked = parse(body, CompletionRequest)
        requests = [completion_request(asked, prompt) for prompt in _prompts(asked)]
        if asked.stream:
            return Stream(self._completion_frames(requests, began_s), {})
        work = together([self._infer.answer(one, began_s) for one in requests])
        answers = [best for best, _ in await unless_left(request, work)]
        counts = usage(
            sum(one.input_length for one in answers),
            sum(one.end.generated_tokens for one in answers),
        )
        choices = [
            completion_choice(index, one.end.text, one.end) for index, one in enumerate(answers)
        ]
        return answer(self._shell("text_completion").document(choices, usage=counts))

    async def _completion_frames(self, requests, began_s):
        """The frames of all prompts as they come."""
        ready = asyncio.Queue()
        tasks = [
            asyncio.create_task(self._completion_of(index, one, began_s, ready.put_nowait))
            for index, one in enumerate(requests)
        ]
        try:
            running = len(tasks)
            while running:
                one = await ready.get()
                if one is None:
                    running -= 1
                else:
                    yield one
            yield DONE
        finally:
            for task in tasks:
                task.cancel()

    async def _completion_of(self, index, asked, began_s, put):
        """Put one prompt's frames, then `None`."""
        shell = self._shell("text_completion")
        try:
            async with aclosing(self._infer.stream(asked, began_s)) as messages:
                async for message in messages:
                    if message is None:
                        put(KEEP_ALIVE)
                        continue
                    prompt_tokens, token, _, end = message
                    text = "" if token.special else token.text
                    counts = {}
                    if end is not None:
                        counts["usage"] = usage(prompt_tokens, end.generated_tokens)
                    put(frame(shell.document([completion_choice(index, text, end)], **counts)))
        except InferError as error:
            put(self._failure(error))
        put(None)

    def _failure(self, error):
        self._infer.metrics.failed(error.failure)
        return frame(error.document())

    def _shell(self, kind):
        return Shell(kind, self._infer.settings.model_id, self._fingerprint)


def _prompts(asked):
    """The prompts as a list. Raises `Invalid` for what TGI refuses."""
    prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
    if asked.suffix is not None:
        raise Invalid("Suffix is not supported and can be achieved by preprocessing the prompt.")
    if not 1 <= len(prompts) <= MAX_CLIENT_BATCH_SIZE:
        raise Invalid(
            f"Number of prompts exceeds the maximum allowed batch size of {MAX_CLIENT_BATCH_SIZE}"
        )
    return prompts
