"""Requests that wait for a place in a batch, and which of them come next.

Source: TGI's `backends/v3/src/queue.rs`, for models whose prompts are padded.
"""

import threading
from collections import deque


class Waiting:
    """First come, first served. Any thread may add; one thread takes."""

    def __init__(self, metrics):
        self._entries = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._metrics = metrics

    def add(self, entry):
        """Queue an entry. False if the queue is closed."""
        with self._changed:
            if self._closed:
                return False
            self._entries.append(entry)
            self._metrics.queue_size.set(len(self._entries))
            self._changed.notify()
            return True

    def wait(self):
        """Block until there is something to take; false when the queue is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._entries or self._closed)
            return not self._closed

    def close(self):
        """Take nothing more; what still waits is returned."""
        with self._changed:
            self._closed = True
            self._changed.notify()
            left = list(self._entries)
            self._entries.clear()
            return left

    def take(self, least, most, prefill_tokens, total_tokens):
        """The entries of the next prefill, in order; none if fewer than `least` fit.

        `most` bounds their number, `prefill_tokens` their prompts, padded to the longest, and
        `total_tokens` prompts and answers together.
        """
        with self._changed:
            self._drop()
            chosen = self._fitting(most, prefill_tokens, total_tokens)
            if not chosen or len(chosen) < least:
                return []
            for _ in chosen:
                self._entries.popleft()
            self._metrics.queue_size.set(len(self._entries))
            return chosen

    def _drop(self):
        """Forget those whose client has left."""
        here = deque(entry for entry in self._entries if not entry.dropped)
        self._metrics.failed("dropped", len(self._entries) - len(here))
        self._entries = here
        self._metrics.queue_size.set(len(here))

    def _fitting(self, most, prefill_tokens, total_tokens):
        chosen, longest, answers = [], 0, 0
        for entry in self._entries:
            longest = max(longest, len(entry.valid.prompt))
            answers += entry.valid.max_new_tokens
            prompts = (len(chosen) + 1) * longest
            full = most is not None and len(chosen) >= most
            if full or prompts > prefill_tokens or prompts + answers > total_tokens:
                break
            chosen.append(entry)
        return chosen
