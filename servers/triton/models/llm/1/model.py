"""A language model streamed from Triton's Python backend, with continuous batching.

`execute` only checks requests and queues them; one thread owns the model and the batch. Errors
of a request go back to that request; an error of a step fails the requests that were in it, and
the thread goes on.
"""

import json
import queue
import threading
import time

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from answer import Answer, fail
from batcher import Batcher, Sequence
from generating import cores
from loading import load
from metrics_out import Metrics
from numpy_check import require_numpy_1
from requests_in import Asked, BadRequest, Limits, check

# Asking the server whether a client has left costs 50 us a request: once in so many steps.
_STEPS_BETWEEN_LOOKS = 8


class TritonPythonModel:
    """The one instance of the language model."""

    def initialize(self, args):
        """Load the model; returns when it can answer, raises if it cannot be loaded."""
        require_numpy_1(np.__version__)
        config = json.loads(args["model_config"])
        self.settings = {key: value["string_value"] for key, value in config["parameters"].items()}
        self.limits = Limits(
            int(self.settings["max_model_len"]), int(self.settings["max_output_tokens"])
        )
        self.metrics = Metrics(args["model_name"])
        self.arrivals = queue.SimpleQueue()
        self.steps = 0
        loaded = queue.SimpleQueue()
        # OpenMP keeps a pool of threads for each thread that computes. Only the thread below
        # does; without this line a second pool here would fight it for the cores.
        torch.set_num_threads(1)
        self.thread = threading.Thread(target=self._serve, args=(loaded,), daemon=True)
        self.thread.start()
        problem = loaded.get()
        if problem is not None:
            raise problem

    def execute(self, requests):
        """Queue each request, or answer it with its error."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                asked = check(_inputs(request), self._encode, self.limits)
            except BadRequest as error:
                self.metrics.errors["bad_request"].increment(1)
                fail(sender, str(error))
            except Exception as error:
                self.metrics.errors["internal"].increment(1)
                fail(sender, f"the request could not be read: {error!r}")
            else:
                self.arrivals.put(self._sequence(asked, sender))

    def finalize(self):
        """Stop the thread; what still runs is ended with an error."""
        self.arrivals.put(None)
        self.thread.join()

    def _encode(self, text):
        return self.tokenizer.encode(text).ids

    def _sequence(self, asked, sender):
        answer = Answer(sender, self.tokenizer, len(asked.prompt), asked.stream, self.metrics)
        return Sequence(
            prompt=asked.prompt,
            max_tokens=asked.max_tokens,
            temperature=asked.temperature,
            stop_ids=frozenset() if asked.ignore_eos else self.stop_ids,
            owner=answer,
        )

    def _serve(self, loaded):
        """The thread that computes: load, say so, then take arrivals and step until told to end."""
        try:
            torch.set_num_threads(int(self.settings["llm_threads"]) or cores())
            model, self.tokenizer, self.stop_ids = load(
                self.settings["model"], self.settings["device"], self.settings["dtype"]
            )
            most = model.config.max_position_embeddings
            if self.limits.max_model_len > most:
                raise ValueError(
                    f"max_model_len={self.limits.max_model_len}: this model takes {most}"
                )
            self.batcher = Batcher(
                model,
                max_num_seqs=int(self.settings["max_num_seqs"]),
                max_model_len=self.limits.max_model_len,
                max_num_batched_tokens=int(self.settings["max_num_batched_tokens"]),
            )
            self._warm_up()
        except Exception as error:
            loaded.put(error)
            return
        loaded.put(None)
        while self._take_arrivals():
            try:
                self._step()
            except Exception as error:
                pb_utils.Logger.log_error(f"llm: a step failed: {error!r}")
                self._fail_all(f"the model failed while computing: {error}")
        self._fail_all("the server is stopping")

    def _warm_up(self):
        """The first passes are slow (memory, kernels chosen): nobody's request should pay."""
        for length in (1, min(64, self.limits.max_model_len - 3)):
            self.batcher.add(Sequence([0] * length, 3, 0.0, frozenset()))
            while self.batcher.waiting or self.batcher.running:
                self.batcher.step()

    def _take_arrivals(self):
        """Move arrivals to the batcher, waiting if there is nothing to do; false means stop."""
        busy = self.batcher.running or self.batcher.waiting
        while True:
            try:
                sequence = self.arrivals.get(block=not busy)
            except queue.Empty:
                return True
            if sequence is None:
                return False
            self.batcher.add(sequence)
            busy = True

    def _step(self):
        self._drop_cancelled()
        if not (self.batcher.running or self.batcher.waiting):
            return
        started = time.perf_counter()
        step = self.batcher.step()
        for one in step.joined:
            one.owner.joined(started)
            self.metrics.prompt_tokens.increment(one.owner.prompt_tokens)
        for one in step.advanced:
            try:
                one.owner.add(one.last, one.finish_reason)
            except Exception as error:
                pb_utils.Logger.log_error(f"llm: a response could not be sent: {error!r}")
                one.cancelled = True
        self.metrics.output_tokens.increment(len(step.advanced))
        self.metrics.iteration_tokens.observe(step.tokens)
        self._show_queue()

    def _drop_cancelled(self):
        self.steps += 1
        if self.steps % _STEPS_BETWEEN_LOOKS == 0:
            for one in (*self.batcher.running, *self.batcher.waiting):
                one.cancelled = one.cancelled or one.owner.cancelled()
        gone = self.batcher.drop_cancelled()
        for one in gone:
            one.owner.end()
        if gone:
            self._show_queue()

    def _show_queue(self):
        self.metrics.running.set(len(self.batcher.running))
        self.metrics.waiting.set(len(self.batcher.waiting))

    def _fail_all(self, message):
        for one in self.batcher.clear():
            self.metrics.errors["internal"].increment(1)
            one.owner.fail(message)
        self._show_queue()


def _inputs(request):
    def value(name):
        tensor = pb_utils.get_input_tensor_by_name(request, name)
        return None if tensor is None else tensor.as_numpy().reshape(-1)[0]

    max_tokens, temperature = value("max_tokens"), value("temperature")
    ignore_eos, stream = value("ignore_eos"), value("stream")
    return Asked(
        text=value("text_input") or b"",
        max_tokens=None if max_tokens is None else int(max_tokens),
        temperature=None if temperature is None else float(temperature),
        ignore_eos=None if ignore_eos is None else bool(ignore_eos),
        stream=None if stream is None else bool(stream),
    )
