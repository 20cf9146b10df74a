"""Jobs that outlive their client, and the server: a durable queue in one SQLite file (litequeue).

A job is accepted when it is on disk. It is marked done after its results are, so a server that
is killed between computes it once more: every accepted job is computed at least once. SQLite's
log is not forced to the disk at each step: a killed process loses nothing, a power cut may lose
the last moments.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litequeue import LiteQueue, MessageStatus

from servers.fastapi_batcher.inside.batching import Draining

MAX_WAITING = 1_000
KEPT_S = 24 * 3600.0
_FORGET_EVERY_S = 60.0
_AT_ONCE = 8
_STATES = {
    MessageStatus.READY: "waiting",
    MessageStatus.LOCKED: "running",
    MessageStatus.DONE: "done",
}

Compute = Callable[[list[Any]], Awaitable[list[dict[str, Any]]]]


class TooManyJobs(Exception):
    """`MAX_WAITING` jobs wait; this one was not accepted."""


@dataclass(frozen=True)
class Job:
    """An accepted job; `results` are there when its `status` is `done`."""

    id: str
    status: str
    results: list[dict[str, Any]] | None


class JobStore:
    """The queue and the results, in one file. Blocking: use it from one thread."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._queue = LiteQueue(self._connection, maxsize=MAX_WAITING, queue_name="jobs")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS results (id TEXT PRIMARY KEY, results TEXT NOT NULL)"
        )
        # What was being computed when the last server ended is to be computed anew.
        for message in list(self._queue.list_locked(0)):
            self._queue.retry(message.message_id)
        self._forgot_s = 0.0

    def accept(self, requests: list[Any]) -> str:
        """The id of the new job, which is on disk now. Raises `TooManyJobs`."""
        self._forget_old()
        try:
            return self._queue.put(json.dumps(requests)).message_id
        except sqlite3.IntegrityError:
            raise TooManyJobs from None

    def take(self) -> tuple[str, list[Any]] | None:
        """The oldest job that waits, which is running from now on, or `None`."""
        message = self._queue.pop()
        return None if message is None else (message.message_id, json.loads(message.data))

    def finish(self, job: str, results: list[dict[str, Any]]) -> None:
        """Keep the results, and then the word that it is done."""
        self._connection.execute(
            "INSERT OR REPLACE INTO results VALUES (?, ?)", (job, json.dumps(results))
        )
        self._queue.done(job)

    def put_back(self, job: str) -> None:
        """Let a job that was not finished wait again."""
        self._queue.retry(job)

    def find(self, job: str) -> Job | None:
        """The job of that id, or `None`."""
        message = self._queue.get(job)
        if message is None:
            return None
        status = _STATES[MessageStatus(message.status)]
        row = self._connection.execute("SELECT results FROM results WHERE id = ?", (job,))
        found = row.fetchone() if status == "done" else None
        return Job(job, status, json.loads(found[0]) if found else None)

    def counts(self) -> Mapping[str, int]:
        """Jobs by state."""
        rows = self._connection.execute("SELECT status, COUNT(*) FROM [jobs] GROUP BY status")
        found = {_STATES[MessageStatus(status)]: count for status, count in rows}
        return {state: found.get(state, 0) for state in _STATES.values()}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _forget_old(self) -> None:
        """Drop jobs that were done long ago; looked for once a minute."""
        now_s = time.time()
        if now_s < self._forgot_s + _FORGET_EVERY_S:
            return
        self._forgot_s = now_s
        old = (MessageStatus.DONE.value, int((now_s - KEPT_S) * 1e9))
        where = "WHERE status = ? AND done_time < ?"
        self._connection.execute(
            f"DELETE FROM results WHERE id IN (SELECT message_id FROM [jobs] {where})", old
        )
        self._connection.execute(f"DELETE FROM [jobs] {where}", old)


class JobQueue:
    """Computes the jobs of a store, some at once, in the background of an event loop."""

    def __init__(self, store: JobStore, compute: Compute) -> None:
        self._store = store
        self._compute = compute
        # One thread: SQLite's calls block, and one connection serves them in turn.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="jobs")
        self._come = asyncio.Semaphore(_AT_ONCE)
        self._workers = [asyncio.create_task(self._work()) for _ in range(_AT_ONCE)]

    async def accept(self, requests: list[Any]) -> str:
        """The id of a new job. Raises `TooManyJobs`."""
        job = await self._in_thread(self._store.accept, requests)
        self._come.release()
        return job

    async def find(self, job: str) -> Job | None:
        """The job of that id, or `None`."""
        return await self._in_thread(self._store.find, job)

    async def counts(self) -> Mapping[str, int]:
        """Jobs by state."""
        return await self._in_thread(self._store.counts)

    async def stop(self) -> None:
        """Leave what is not finished on disk, for the next server."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        await self._in_thread(self._store.close)
        self._thread.shutdown()

    async def _work(self) -> None:
        while True:
            await self._come.acquire()
            while (taken := await self._in_thread(self._store.take)) is not None:
                job, requests = taken
                try:
                    results = await self._compute(requests)
                except Draining:
                    await self._in_thread(self._store.put_back, job)
                    return
                await self._in_thread(self._store.finish, job, results)

    def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
        return asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)
