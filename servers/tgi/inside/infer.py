"""From the event loop to the engine's thread and back: admission, tokens, clients that leave."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

from engine import Entry
from errors import Incomplete, InferError, Invalid, Overloaded, TemplateFailed
from settings import VALIDATION_WORKERS
from validation import check_inputs, check_length, check_parameters, check_streamed

KEEP_ALIVE_S = 15.0


@dataclass(frozen=True)
class Answer:
    """A complete answer. `prompt` are the prompt's tokens if they were asked for."""

    prompt: tuple
    input_length: int
    tokens: tuple
    top_tokens: tuple
    end: object


class Infer:
    """Answers checked requests, at most `max_concurrent_requests` at a time."""

    def __init__(self, loaded, settings, metrics, waiting):
        self.tokenizer = loaded.tokenizer
        self.settings = settings
        self.metrics = metrics
        self._waiting = waiting
        self._permits = settings.max_concurrent_requests
        self._workers = ThreadPoolExecutor(VALIDATION_WORKERS, thread_name_prefix="validation")

    async def encode(self, text, add_special_tokens=True):
        """The text's `tokenizers.Encoding`."""
        encode = self.tokenizer.backend_tokenizer.encode
        run = asyncio.get_running_loop().run_in_executor
        return await run(self._workers, lambda: encode(text, add_special_tokens=add_special_tokens))

    def templated(self, messages):
        """The prompt that the model's chat template makes of messages, or `TemplateFailed`."""
        try:
            return self.tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:
            raise TemplateFailed(str(error)) from None

    @asynccontextmanager
    async def asked(self, request, streamed):
        """An entry in the queue, and the queue of its messages; the permit is given back after.

        Raises `InferError` if the request is not taken.
        """
        if self._permits <= 0:
            raise Overloaded
        self._permits -= 1
        entry = None
        try:
            valid = await self._validated(request, streamed)
            messages = asyncio.Queue()
            entry = Entry(valid, messages.put_nowait)
            if not self._waiting.add(entry):
                raise Incomplete
            yield entry, messages
        finally:
            self._permits += 1
            if entry is not None:
                entry.dropped = True

    async def _validated(self, request, streamed):
        if streamed:
            check_streamed(request.parameters)
        choosing = check_parameters(request.parameters)
        check_inputs(request, self.settings)
        encoding = await self.encode(request.inputs, request.add_special_tokens)
        valid = check_length(request, encoding.ids, choosing, self.settings)
        self.metrics.input_length.observe(len(valid.prompt))
        self.metrics.max_new_tokens.observe(valid.max_new_tokens)
        return valid

    async def stream(self, request, began_s):
        """`(input length, token, top tokens, end)` as they come; the last has an `end`.

        `None` says that nothing came for a while.
        """
        async with self.asked(request, streamed=True) as (entry, messages):
            while True:
                try:
                    async with asyncio.timeout(KEEP_ALIVE_S):
                        message = await messages.get()
                except TimeoutError:
                    yield None
                    continue
                if isinstance(message, InferError):
                    raise message
                if message[2] is not None:
                    self.count(message[2], began_s)
                yield len(entry.valid.prompt), *message
                if message[2] is not None:
                    return

    async def answer(self, request, began_s):
        """The complete answer, and the others of `best_of`."""
        # Checked before so many are begun.
        check_parameters(request.parameters)
        best_of = request.parameters.best_of or 1
        answers = await together([self._one(request, began_s) for _ in range(best_of)])
        best, *others = sorted(answers, key=_mean_logprob, reverse=True)
        return best, others

    async def _one(self, request, began_s):
        tokens, top_tokens = [], []
        async with self.asked(request, streamed=False) as (entry, messages):
            while True:
                message = await messages.get()
                if isinstance(message, InferError):
                    raise message
                token, top, end = message
                tokens.append(token)
                top_tokens.append(top)
                if end is not None:
                    break
            self.count(end, began_s)
            valid = entry.valid
            return Answer(
                prompt=valid.prompt if valid.echo_prompt else (),
                input_length=len(valid.prompt),
                tokens=tuple(tokens),
                top_tokens=tuple(top_tokens) if valid.top_n_tokens else (),
                end=end,
            )

    def count(self, end, began_s):
        """A request was answered."""
        now = time.perf_counter()
        took = {
            "request": now - began_s,
            "request_validation": end.queued_s - began_s,
            "request_queue": end.started_s - end.queued_s,
            "request_inference": now - end.started_s,
            "request_mean_time_per_token": (now - end.started_s) / end.generated_tokens,
        }
        for name, seconds in took.items():
            self.metrics.durations[name].observe(seconds)
        self.metrics.successes.inc()
        self.metrics.generated_tokens.observe(end.generated_tokens)

    def plain_text(self, content):
        """A message's content as text. Raises `Invalid` for an image."""
        if content is None or isinstance(content, str):
            return content or ""
        if any(part.type != "text" or part.text is None for part in content):
            raise Invalid("image modality is not supported")
        return "".join(part.text for part in content)


async def together(work):
    """The results of all; where one fails, so do all, and the others are ended."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _mean_logprob(answer):
    logprobs = [token.logprob or 0.0 for token in answer.tokens]
    return sum(logprobs) / len(logprobs)
