"""The batcher as guides write it, kept as a counter-example. Do not build on it.

What is wrong with it, all of it measurable:

- It looks at its queue on a fixed tick: a lone request waits for the next one, half a tick on
  average, and a full batch waits too. One batch a tick is also its ceiling: it cannot compute
  more than `max_batch_size` requests every tick.
- It sleeps between a batch and the next although more requests wait.
- Its queue has no bound: under overload every request is accepted, and answered later and later.
- One request that fails takes all of its batch with it.
- A request whose client has left is computed all the same.
- Nothing bounds how long it takes to stop: all of its queue is computed first.
- It uses one model instance, however many there are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from servers.fastapi_batcher.inside.batching import Batch, Run


class PollingBatcher:
    """Every `interval_s`, computes up to `max_batch_size` of what waits, all or nothing."""

    draining = False

    def __init__(
        self,
        run: Run,
        *,
        max_batch_size: int,
        interval_s: float,
        on_batch: Callable[[Batch], object] = lambda batch: None,
    ) -> None:
        self._run = run
        self._max_batch_size = max_batch_size
        self._interval_s = interval_s
        self._on_batch = on_batch
        self._queue: list[tuple[Any, asyncio.Future[Any], float]] = []
        self._loop_task = asyncio.get_running_loop().create_task(self._poll())
        self.running = 0

    @property
    def waiting(self) -> int:
        """Requests accepted and not yet being computed."""
        return len(self._queue)

    def submit(self, item: Any) -> asyncio.Future[Any]:
        """Take a request, however many wait already; its result comes in the future."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._queue.append((item, future, loop.time()))
        return future

    async def drain(self) -> None:
        """Nothing: it knows of no end. The web server waits for what is open."""

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._interval_s)
            batch = self._queue[: self._max_batch_size]
            del self._queue[: self._max_batch_size]
            if batch:
                await self._compute(batch)

    async def _compute(self, batch: list[tuple[Any, asyncio.Future[Any], float]]) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self.running = len(batch)
        try:
            results = await self._run([item for item, _, _ in batch])
        except Exception as error:
            results = [error] * len(batch)
        for (_, future, _), result in zip(batch, results, strict=True):
            if future.cancelled():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
        self.running = 0
        waited_s = tuple(began_s - arrived_s for _, _, arrived_s in batch)
        self._on_batch(Batch(waited_s, loop.time() - began_s))
