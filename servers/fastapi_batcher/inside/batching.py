"""A dynamic batcher: requests that wait together are computed together.

Nothing of the web is in here, and nothing but the standard library: what is computed is a
coroutine function from a list of items to a list of results.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

Run = Callable[[list[Any]], Awaitable[Sequence[Any]]]


class QueueFull(Exception):
    """As many requests wait as may; this one was not taken."""


class Draining(Exception):
    """The batcher finishes what it has accepted, and takes nothing more."""


@dataclass(frozen=True)
class Batch:
    """One computed batch: how long each of its requests had waited, how long it took itself."""

    waited_s: tuple[float, ...]
    computed_s: float


@dataclass(frozen=True)
class _Waiting:
    item: Any
    arrived_s: float


class DeadlineBatcher:
    """Computes a batch when it is full, or when its oldest request has waited `max_delay_s`.

    At most `instances` batches are computed at once. While all are busy requests wait on, and
    the next batch leaves the moment one is free. Requests are taken in the order of their
    arrival. If a batch fails, each of its requests is computed alone, so that only those that
    fail by themselves get an error.

    Use it from one event loop, asyncio's own: its timers fire up to a millisecond late. (uvloop's
    clock ticks in milliseconds: its timers fire early as well, and waits are measured so.)
    """

    def __init__(
        self,
        run: Run,
        *,
        max_batch_size: int,
        max_delay_s: float,
        max_queue: int,
        instances: int = 1,
        on_batch: Callable[[Batch], object] = lambda batch: None,
    ) -> None:
        self._run = run
        self._max_batch_size = max_batch_size
        self._max_delay_s = max_delay_s
        self._max_queue = max_queue
        self._free = instances
        self._on_batch = on_batch
        self._queue: OrderedDict[asyncio.Future[Any], _Waiting] = OrderedDict()
        self._computing: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._draining = False
        self.running = 0

    @property
    def draining(self) -> bool:
        """Whether it takes nothing more."""
        return self._draining

    @property
    def waiting(self) -> int:
        """Requests accepted and not yet being computed."""
        return len(self._queue)

    def submit(self, item: Any) -> asyncio.Future[Any]:
        """Take a request; its result comes in the future. Cancel that to take it back.

        A request taken back before its batch is built is never computed. Raises `QueueFull` or
        `Draining`, and has then kept nothing of it.
        """
        if self._draining:
            raise Draining
        if len(self._queue) >= self._max_queue:
            raise QueueFull
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        future.add_done_callback(self._taken_back)
        self._queue[future] = _Waiting(item, loop.time())
        if len(self._queue) >= self._max_batch_size:
            self._dispatch()
        elif len(self._queue) == 1:
            self._set_timer()
        return future

    async def drain(self) -> None:
        """Take nothing more, compute what was accepted without further delay, return when done."""
        self._draining = True
        self._dispatch()
        while self._computing:
            await asyncio.wait(self._computing)

    def _taken_back(self, future: asyncio.Future[Any]) -> None:
        if future.cancelled() and self._queue.pop(future, None) is not None:
            self._set_timer()

    def _dispatch(self, oldest_is_due: bool = False) -> None:
        """Start every batch that is to be computed now; wait for the oldest of what is left."""
        while self._free and self._queue and (oldest_is_due or self._due()):
            oldest_is_due = False
            size = min(len(self._queue), self._max_batch_size)
            batch = dict(self._queue.popitem(last=False) for _ in range(size))
            self._free -= 1
            task = asyncio.get_running_loop().create_task(self._compute(batch))
            self._computing.add(task)
            task.add_done_callback(self._computing.discard)
        self._set_timer()

    def _due(self) -> bool:
        full = len(self._queue) >= self._max_batch_size
        return full or self._draining or asyncio.get_running_loop().time() >= self._deadline_s()

    def _deadline_s(self) -> float:
        return next(iter(self._queue.values())).arrived_s + self._max_delay_s

    def _set_timer(self) -> None:
        """Wake when the oldest request is due; while all instances are busy, no need to."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._queue and self._free:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(self._deadline_s(), self._dispatch, True)

    async def _compute(self, batch: dict[asyncio.Future[Any], _Waiting]) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        self.running += len(batch)
        try:
            await self._settle(batch)
        finally:
            self.running -= len(batch)
            self._free += 1
            self._dispatch()
            waited_s = tuple(began_s - one.arrived_s for one in batch.values())
            self._on_batch(Batch(waited_s, loop.time() - began_s))

    async def _settle(self, batch: dict[asyncio.Future[Any], _Waiting]) -> None:
        """Give every future its result or its own error; one that is cancelled needs neither."""
        try:
            results = await self._run([one.item for one in batch.values()])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(batch)} items came back as {len(results)} results")
        except Exception as error:
            if len(batch) > 1:
                for future, one in batch.items():
                    if not future.done():
                        await self._settle({future: one})
                return
            results = [error]
        for future, result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)
