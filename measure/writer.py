"""Writing a run: its folder, its shards while it goes on, and its end."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pyarrow as pa

from measure import manifest as manifests
from measure import run_files, shards
from measure.errors import MeasureError, RunExistsError
from measure.files import plain, replace_file, write_json
from measure.records import Record
from measure.run_files import LOGS, MANIFEST, REQUESTS, SHARDS, SUMMARY
from measure.summary import summarise
from measure.verdict import ClientStats

OnBatch = Callable[[pa.RecordBatch], None]


class RunWriter:
    """Writes the records of a run that one process drives. Safe for threads and greenlets.

    Records reach the disk at most `flush_s` after they were appended, also when none follows: a
    background thread (a greenlet where gevent has patched the process) sees to the lulls. Each
    batch that was written is shown to `on_batch`.
    """

    def __init__(
        self, run_dir: Path, manifest: dict[str, Any], flush_s: float, on_batch: OnBatch | None
    ):
        """Use `create`."""
        self.path = run_dir
        self.manifest = manifest
        self._rows = shards.Rows()
        self._shard = run_files.new_shard(run_dir, 0)
        self._flush_s = flush_s
        self._on_batch = on_batch
        self._flushed_at = time.monotonic()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._failure: MeasureError | None = None
        threading.Thread(target=self._flush_in_lulls, name="run-writer", daemon=True).start()

    @classmethod
    def create(
        cls,
        run_dir: Path,
        manifest: dict[str, Any],
        *,
        flush_s: float = 0.5,
        on_batch: OnBatch | None = None,
    ) -> "RunWriter":
        """Begin a run in a new or empty folder (one with only `logs/` in it counts as empty).

        Raises:
            RunExistsError: the folder holds something.
            MeasureError: the manifest is not complete, or the folder cannot be made.
        """
        run_dir = Path(run_dir)
        _begin(run_dir, manifest)
        return cls(run_dir, dict(manifest), flush_s, on_batch)

    def append(self, record: Record) -> None:
        """Keep a finished request; it is on disk within `flush_s`.

        Raises:
            MeasureError: an earlier flush failed (a full disk); nothing kept is lost by it yet.
        """
        with self._lock:
            self._rows.append(record)
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            if time.monotonic() - self._flushed_at >= self._flush_s:
                self._flush()

    def flush(self) -> None:
        """Write what is kept now, as one Arrow batch."""
        with self._lock:
            self._flush()

    def close(self, client: ClientStats | None = None) -> dict[str, Any]:
        """End the run: compact the shard, write the summary, mark it finished.

        Returns:
            The summary, as `summary.json` has it.

        Raises:
            MeasureError: the disk is full. The shard stays.
        """
        self._closed.set()
        with self._lock:
            try:
                self._flush()
            finally:
                self._shard.close()
        return finish(self.path, {**self.manifest, "finished": True}, client)

    def _flush(self) -> None:
        self._flushed_at = time.monotonic()
        batch = self._rows.batch()
        if batch is None:
            return
        self._shard.write(batch)
        self._rows.clear()
        if self._on_batch is not None:
            self._on_batch(batch)

    def _flush_in_lulls(self) -> None:
        while not self._closed.wait(self._flush_s):
            with self._lock:
                if self._closed.is_set():
                    return
                try:
                    self._flush()
                except MeasureError as error:
                    self._failure = error


class Gathering:
    """Writes a run whose workers send their batches here: a shard for each, all of them ours.

    Not safe for threads.
    """

    def __init__(self, run_dir: Path, manifest: dict[str, Any], workers: int) -> None:
        """Begin the run, as `RunWriter.create` does and with the same errors."""
        self.path = Path(run_dir)
        self.manifest = dict(manifest)
        _begin(self.path, manifest)
        self._shards = [run_files.new_shard(self.path, worker) for worker in range(workers)]

    def take(self, worker: int, message: bytes) -> pa.RecordBatch:
        """Write what worker number `worker` sent (a batch of `measure.shards.Rows`, serialised).

        Raises:
            MeasureError: it is no batch of this version, or the disk is full.
        """
        batch = shards.from_bytes(message)
        self._shards[worker].write(batch)
        return batch

    def close(self, client: ClientStats | None = None) -> dict[str, Any]:
        """End the run, as `RunWriter.close` does."""
        with ExitStack() as closing:
            for shard in self._shards:
                closing.callback(shard.close)
        return finish(self.path, {**self.manifest, "finished": True}, client)


def _begin(run_dir: Path, manifest: dict[str, Any]) -> None:
    """Make the run's folder with the manifest and a place for shards in it."""
    wrong = manifests.problem(manifest)
    if wrong:
        raise MeasureError(f"The run {run_dir} was not begun: of its manifest, {wrong}.")
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        if any(entry.name != LOGS for entry in run_dir.iterdir()):
            raise FileExistsError
        (run_dir / SHARDS).mkdir()
    except FileExistsError as error:
        raise RunExistsError(
            f"{run_dir} holds something already, and a run overwrites nothing. Give another "
            "folder, or move this one away."
        ) from error
    except OSError as error:
        raise MeasureError(f"The run folder {run_dir} cannot be made: {error}.") from error
    write_json(run_dir / MANIFEST, manifest)


def finish(path: Path, manifest: dict[str, Any], client: ClientStats | None) -> dict[str, Any]:
    """Compact and summarise; the shards go last, by one rename.

    Raises:
        MeasureError: some shard is still written, or the disk is full. The shards stay.
    """
    if run_files.is_running(path):
        raise MeasureError(
            f"The run {path} is still being written. Stop its load test, or wait for its end."
        )
    try:
        replace_file(path / REQUESTS, lambda temporary: run_files.compact(path, temporary))
        # What compaction used goes back first: the summary needs as much again.
        pa.default_memory_pool().release_unused()
        summary = plain(summarise(run_files.read_parquet(path), manifest, client))
        write_json(path / SUMMARY, summary)
        write_json(path / MANIFEST, manifest)
        run_files.drop_shards(path)
    except OSError as error:
        raise MeasureError(
            f"The run {path} could not be finished ({error}). Its records are safe in "
            f"{path / SHARDS}: once there is room, it can be opened or recovered as it is."
        ) from error
    return dict(summary)


def note_engine(path: Path, **facts: Any) -> None:
    """Add to the manifest of a run what became known of its engine after the load."""
    manifest = run_files.read_manifest(path)
    manifest["engine"] = {**manifest["engine"], **facts}
    write_json(path / MANIFEST, manifest)
