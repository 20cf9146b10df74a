"""The classifier in threads of its own: while it computes, the event loop goes on."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from serving.classifying import Classifier, answer, token_ids, tokenizer


class Model:
    """`instances` sessions of the model in `folder`, each with so many threads."""

    def __init__(self, folder: Path, instances: int, threads: int) -> None:
        self._tokenizer = tokenizer(folder)
        self._sessions: SimpleQueue[Classifier] = SimpleQueue()
        for _ in range(instances):
            self._sessions.put(Classifier(folder, threads))
        self._pool = ThreadPoolExecutor(instances, thread_name_prefix="session")

    def ids(self, asked: dict[str, Any]) -> list[int]:
        """The token ids of one request. Raises `serving.classifying.Refused`."""
        return token_ids(asked, self._tokenizer)

    async def run(self, batch: list[list[int]]) -> list[dict[str, Any]]:
        """The answers of a batch of token ids, computed together on a free session."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._run, batch)

    async def run_asked(self, batch: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The answers of a batch of requests that nobody has looked at: one bad, all fail."""
        return await self.run([self.ids(asked) for asked in batch])

    def _run(self, batch: list[list[int]]) -> list[dict[str, Any]]:
        session = self._sessions.get()
        try:
            return [answer(logits) for logits in session.run(batch)]
        finally:
            self._sessions.put(session)
