"""One answer on its way out: tokens in, text and counts to the client."""

import time

import numpy as np
import triton_python_backend_utils as pb_utils
from tokenizers.decoders import DecodeStream

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


class Answer:
    """Sends one request's responses and measures it.

    `stream` sends a response whenever a token completes some text, otherwise one at the end.
    A character whose bytes are spread over several tokens is held back until it is whole, and
    left out if the answer ends in its middle, so no response ever carries a broken character.
    """

    def __init__(self, sender, tokenizer, prompt_tokens, stream, metrics):
        self._sender = sender
        self._tokenizer = tokenizer
        self._decoder = DecodeStream(skip_special_tokens=True)
        self._stream = stream
        self._metrics = metrics
        self._arrived = time.perf_counter()
        self._last_token = None
        self._pending = ""
        self.prompt_tokens = prompt_tokens
        self.output_tokens = 0

    def joined(self, started):
        """The prefill began at `started` (`time.perf_counter()`)."""
        self._metrics.queue_time.observe(started - self._arrived)

    def add(self, token, finish_reason):
        """Take the next token; `finish_reason` is empty, or says that it was the last."""
        now = time.perf_counter()
        self.output_tokens += 1
        if self._last_token is None:
            self._metrics.ttft.observe(now - self._arrived)
        else:
            self._metrics.itl.observe(now - self._last_token)
        self._last_token = now
        self._pending += self._decoder.step(self._tokenizer, token) or ""
        if finish_reason:
            self._metrics.e2e.observe(now - self._arrived)
            self._metrics.finished[finish_reason].increment(1)
            self._send(finish_reason)
        elif self._stream and self._pending:
            self._send("")

    def cancelled(self):
        """Whether the client has left."""
        return self._sender.is_cancelled()

    def end(self):
        """Close without a word, for a client that has left."""
        self._metrics.cancelled.increment(1)
        self._sender.send(flags=FINAL)

    def fail(self, message):
        """End with an error, for this request alone."""
        fail(self._sender, message)

    def _send(self, finish_reason):
        outputs = [
            _text("text_output", self._pending),
            _count("output_tokens", self.output_tokens),
            _count("prompt_tokens", self.prompt_tokens),
            _text("finish_reason", finish_reason),
        ]
        self._pending = ""
        response = pb_utils.InferenceResponse(output_tensors=outputs)
        self._sender.send(response, flags=FINAL if finish_reason else 0)


def fail(sender, message):
    """Send an error as the only or last response."""
    error = pb_utils.InferenceResponse(error=pb_utils.TritonError(message))
    sender.send(error, flags=FINAL)


def _text(name, value):
    return pb_utils.Tensor(name, np.array([value.encode("utf-8")], dtype=np.object_))


def _count(name, value):
    return pb_utils.Tensor(name, np.array([value], dtype=np.int32))
