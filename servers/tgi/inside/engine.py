"""The thread that computes: batches are formed, extended and thinned at every token.

Source: `batching_task` of TGI's `backends/v3/src/backend.rs`. Orca (Yu et al., OSDI 2022) calls
this iteration-level scheduling.
"""

import logging
import threading
import time
from dataclasses import dataclass, field

import torch
from batch import Batch
from errors import GenerationFailed, Incomplete
from sampling import Chooser
from writing import Writer

log = logging.getLogger("tgi")


@dataclass(frozen=True)
class Token:
    """A token as clients see it. `logprob` is `None` where the request ruled the token out."""

    id: int
    text: str
    logprob: float | None
    special: bool


@dataclass(frozen=True)
class End:
    """What is said with the last token. Times are `time.perf_counter()`."""

    text: str
    finish_reason: str
    generated_tokens: int
    seed: int | None
    queued_s: float
    started_s: float


@dataclass(eq=False)
class Entry:
    """One request from the queue to its last token. `send` takes `(Token, top tokens, End)`, or
    an error; `dropped` is set by whoever asked and has left."""

    valid: object
    send: object
    queued_s: float = field(default_factory=time.perf_counter)
    started_s: float = 0.0
    dropped: bool = False


class Sequence:
    """An entry in a batch: its tokens so far, how it chooses and how it ends."""

    def __init__(self, entry, loaded):
        valid = entry.valid
        self.entry = entry
        self.ids = list(valid.prompt)
        self.most_tokens = len(valid.prompt) + valid.max_new_tokens
        self.chooser = Chooser(valid.choosing, loaded.device)
        self.writer = Writer(
            loaded.tokenizer.backend_tokenizer,
            valid.prompt,
            loaded.stop_ids,
            valid.stop,
            valid.max_new_tokens,
        )
        self.ended = False


class Engine:
    """Owns the model. `post` is called with a step's `(entry, message)` pairs, in this thread."""

    def __init__(self, loaded, settings, waiting, metrics, post, threads):
        self._loaded = loaded
        self._settings = settings
        self._waiting = waiting
        self._metrics = metrics
        self._post = post
        self._threads = threads
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self.healthy = True

    def start(self):
        """Begin to answer."""
        self._thread.start()

    def stop(self):
        """Answer nothing more: what waits or runs is told so."""
        self._stopping = True
        left = self._waiting.close()
        self._post([(entry, Incomplete()) for entry in left])
        self._thread.join(timeout=10)

    def _run(self):
        # Set here and not before: two pools of OpenMP threads would halve the speed.
        torch.set_num_threads(self._threads)
        try:
            while self._waiting.wait():
                self._serve()
        except BaseException:
            self.healthy = False
            log.exception("the engine has ended")

    def _serve(self):
        """From the first waiting requests until no batch is left."""
        limits, now = self._settings, self._metrics
        running = self._prefill(self._take(0, limits.max_batch_size, limits.max_batch_total_tokens))
        steps = 1
        while running and not self._stopping:
            now.current_size.set(len(running))
            now.current_max_tokens.set(running.max_tokens)
            patient = steps < limits.max_waiting_tokens
            least = int(len(running) * limits.waiting_served_ratio) if patient else 0
            room = limits.max_batch_size and limits.max_batch_size - len(running)
            budget = max(0, limits.max_batch_total_tokens - running.max_tokens)
            fresh = self._take(least, room, budget)
            if fresh:
                now.concats.labels("backpressure" if patient else "wait_exceeded").inc()
                joining, steps = self._prefill(fresh), 1
                if joining:
                    self._join(running, joining)
            running = self._decode(running)
            steps += 1
        now.current_size.set(0)
        now.current_max_tokens.set(0)
        if running:
            self._post([(one.entry, Incomplete()) for one in running.sequences])

    def _take(self, least, most, total_tokens):
        entries = self._waiting.take(
            least, most, self._settings.max_batch_prefill_tokens, total_tokens
        )
        if entries:
            self._metrics.next_size.observe(len(entries))
        return entries

    def _join(self, running, joining):
        with self._metrics.steps["concat"].labels("decode").time():
            running.join(joining)

    def _prefill(self, entries):
        """A batch of the entries after their first token; `None` if none goes on."""
        started = time.perf_counter()
        sequences = []
        for entry in entries:
            entry.started_s = started
            sequences.append(Sequence(entry, self._loaded))
        if not sequences:
            return None
        return self._step(
            "prefill", sequences, lambda: Batch.prefill(self._loaded.model, sequences)
        )

    def _decode(self, batch):
        return self._step("decode", batch.sequences, lambda: (batch, batch.decode()))

    def _step(self, method, sequences, compute):
        """One forward pass and what follows of it: tokens sent, those that ended taken out."""
        now, began = self._metrics, time.perf_counter()
        now.inferences.labels(method).inc()
        try:
            batch, logits = compute()
        except Exception as error:
            log.exception("a %s failed", method)
            now.not_inferred.labels(method).inc()
            self._post([(one.entry, GenerationFailed(str(error))) for one in sequences])
            return None
        forward = time.perf_counter()
        messages = self._choose(batch.sequences, logits)
        decoded = time.perf_counter()
        self._post(messages)
        going_on = [one for one in batch.sequences if not one.ended and not one.entry.dropped]
        left = sum(one.entry.dropped and not one.ended for one in batch.sequences)
        now.failed("dropped", left)
        batch.keep(going_on)
        done = time.perf_counter()
        times = {"forward": forward - began, "decode": decoded - forward,
                 "filter": done - decoded, "inference": done - began}  # fmt: skip
        for name, seconds in times.items():
            now.steps[name].labels(method).observe(seconds)
        now.inferred.labels(method).inc()
        return batch if going_on else None

    @torch.inference_mode()
    def _choose(self, sequences, logits):
        """A message for every sequence; one whose choice fails fails alone."""
        rows, failures = logits, {}
        for row, one in enumerate(sequences):
            if not one.chooser.plain:
                rows[row] = one.chooser.scores(
                    torch.tensor([one.ids], device=logits.device), logits[row : row + 1]
                )[0]
        logprobs = torch.log_softmax(rows, -1)
        tokens = rows.argmax(-1).tolist()
        for row, one in enumerate(sequences):
            if not one.chooser.plain:
                try:
                    tokens[row] = one.chooser.choose(rows[row : row + 1])
                except (ValueError, RuntimeError) as error:
                    failures[row] = GenerationFailed(str(error))
                    one.ended = True
        chosen = logprobs[range(len(sequences)), tokens].tolist()
        return [
            (one.entry, failures[row])
            if row in failures
            else (one.entry, self._advance(one, tokens[row], chosen[row], logprobs[row]))
            for row, one in enumerate(sequences)
        ]

    def _advance(self, one, token, logprob, logprobs):
        one.ids.append(token)
        text, reason = one.writer.add(token)
        top = self._top(one.entry.valid.top_n_tokens, logprobs)
        said = Token(token, text, _finite(logprob), token in self._loaded.special_ids)
        if reason is None:
            return said, top, None
        one.ended = True
        entry = one.entry
        return (
            said,
            top,
            End(
                text=one.writer.text(),
                finish_reason=reason,
                generated_tokens=len(one.writer.ids),
                seed=one.chooser.seed,
                queued_s=entry.queued_s,
                started_s=entry.started_s,
            ),
        )

    def _top(self, count, logprobs):
        """The most likely tokens of a step, if the request asked for them."""
        if not count:
            return ()
        values, ids = logprobs.topk(count)
        decode = self._loaded.tokenizer.decode
        return tuple(
            Token(token, decode([token]), _finite(value), token in self._loaded.special_ids)
            for token, value in zip(ids.tolist(), values.tolist(), strict=True)
        )


def _finite(logprob):
    return logprob if logprob - logprob == 0 else None
