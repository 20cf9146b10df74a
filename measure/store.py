"""A run on disk: written while it goes on, readable at any time, compacted when it ends.

    runs/<run_id>/manifest.json          what was run (written first)
                  shards/<worker>.arrows records, while the run goes on
                  requests.parquet       all records, once it has ended
                  summary.json           every number reported of it
                  server_metrics.parquet the servers' side (measure.server_metrics)
                  logs/                  the engine's and the load test's

As long as `shards/` exists it holds every record; `requests.parquet` is written whole before the
shards go, so no moment of a crash loses a record or counts one twice.
"""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from measure import manifest as manifests
from measure import run_files, server_metrics, shards
from measure.errors import MeasureError, RunExistsError
from measure.files import plain, replace_file, write_json
from measure.records import Record
from measure.run_files import LOGS, MANIFEST, REQUESTS, SHARDS, SUMMARY
from measure.summary import summarise
from measure.verdict import ClientStats
from measure.window import Window, counted

__all__ = ["LOGS", "Run", "RunInfo", "RunWriter", "list_runs", "open_run", "recover"]


@dataclass(frozen=True)
class Run:
    """A run as it is on disk now.

    `finished` is false for a run that goes on (`running`) or was cut off; its summary is then
    computed from the records that are there, and its verdict says so.
    """

    path: Path
    manifest: dict[str, Any]
    records: pa.Table
    summary: dict[str, Any]
    finished: bool
    running: bool = False

    @property
    def run_id(self) -> str:
        """The run's name, as in its manifest."""
        return str(self.manifest["run_id"])

    @property
    def window(self) -> Window:
        """The part of the run that its summary counts."""
        cut = self.summary.get("window")
        if cut is not None:
            return Window(float(cut["start_s"]), float(cut["end_s"]))
        # Summaries of before there were other rules for the warm-up than a fixed time.
        start_s = float(self.manifest["load"].get("warmup_s") or 0.0)
        return Window(start_s, start_s + self.summary["window_s"])

    @property
    def counted(self) -> pa.Table:
        """The records of the requests that its summary counts."""
        return counted(self.records, self.manifest, self.window)

    @property
    def server_metrics(self) -> pa.Table | None:
        """The servers' series over the run (`measure.server_metrics`), `None` if not kept."""
        return server_metrics.read(self.path)


@dataclass(frozen=True)
class RunInfo:
    """A run in a listing: no records read. `problem` says why it cannot be opened, if so."""

    path: Path
    manifest: dict[str, Any] | None
    summary: dict[str, Any] | None
    finished: bool
    running: bool
    problem: str | None = None

    @property
    def run_id(self) -> str:
        """The run's name: its folder's."""
        return self.path.name


class RunWriter:
    """Writes one worker's records of a run. Safe for threads and greenlets.

    Records reach the disk at most `flush_s` after they were appended, also when none follows: a
    background thread (a greenlet where gevent has patched the process) sees to the lulls.
    """

    def __init__(
        self, run_dir: Path, manifest: dict[str, Any], shard: shards.Shard, flush_s: float
    ):
        """Use `create`, or `join` for a further worker."""
        self.path = run_dir
        self.manifest = manifest
        self._shard = shard
        self._flush_s = flush_s
        self._flushed_at = time.monotonic()
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._failure: MeasureError | None = None
        threading.Thread(target=self._flush_in_lulls, name="run-writer", daemon=True).start()

    @classmethod
    def create(
        cls, run_dir: Path, manifest: dict[str, Any], *, worker: int = 0, flush_s: float = 0.5
    ) -> "RunWriter":
        """Begin a run in a new or empty folder (one with only `logs/` in it counts as empty).

        Raises:
            RunExistsError: the folder holds something.
            MeasureError: the manifest is not complete, or the folder cannot be made.
        """
        run_dir = Path(run_dir)
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
        return cls(run_dir, dict(manifest), run_files.new_shard(run_dir, worker), flush_s)

    @classmethod
    def join(cls, run_dir: Path, *, worker: int, flush_s: float = 0.5) -> "RunWriter":
        """Write a further worker's shard into a run that another writer created.

        Raises:
            MeasureError: there is no unfinished run, or the worker's shard exists.
        """
        run_dir = Path(run_dir)
        manifest = run_files.read_manifest(run_dir)
        if not (run_dir / SHARDS).is_dir():
            raise MeasureError(f"{run_dir} has ended; worker {worker} cannot add records to it.")
        return cls(run_dir, manifest, run_files.new_shard(run_dir, worker), flush_s)

    def append(self, record: Record) -> None:
        """Keep a finished request; it is on disk within `flush_s`.

        Raises:
            MeasureError: an earlier flush failed (a full disk); nothing kept is lost by it yet.
        """
        with self._lock:
            self._shard.append(record)
            if self._failure is not None:
                failure, self._failure = self._failure, None
                raise failure
            if time.monotonic() - self._flushed_at >= self._flush_s:
                self._flush()

    def flush(self) -> None:
        """Write what is kept now, as one Arrow batch."""
        with self._lock:
            self._flush()

    def leave(self) -> None:
        """End this worker's shard and nothing else: the run's creator closes the run."""
        self._closed.set()
        with self._lock:
            self._shard.close()

    def close(self, client: ClientStats | None = None) -> dict[str, Any]:
        """End the run: compact all shards, write the summary, mark it finished.

        Call it once, when every other worker has left.

        Returns:
            The summary, as `summary.json` has it.

        Raises:
            MeasureError: another worker still writes, or the disk is full. The shards stay.
        """
        self.leave()
        return _finish(self.path, {**self.manifest, "finished": True}, client)

    def _flush(self) -> None:
        self._flushed_at = time.monotonic()
        self._shard.flush()

    def _flush_in_lulls(self) -> None:
        while not self._closed.wait(self._flush_s):
            with self._lock:
                if self._closed.is_set():
                    return
                try:
                    self._flush()
                except MeasureError as error:
                    self._failure = error


def open_run(path: Path | str) -> Run:
    """Read a run, finished or not.

    Raises:
        MeasureError: there is no such folder.
        DamagedRunError: a file in it is missing or cannot be read; it is named.
    """
    path = Path(path)
    if not path.is_dir():
        raise MeasureError(f"There is no run folder {path}. The runs are the folders below runs/.")
    running = run_files.is_running(path)
    manifest = run_files.read_manifest(path)
    finished = bool(manifest["finished"])
    records = run_files.read_records(path)
    if finished or ((path / SUMMARY).exists() and not (path / SHARDS).is_dir()):
        summary = run_files.read_summary(path)
    else:
        summary = summarise(records, manifest, None)
    return Run(path, manifest, records, summary, finished, running)


def list_runs(root: Path | str) -> list[RunInfo]:
    """The runs below a folder, newest first (by name); empty if the folder does not exist.

    A folder without a manifest is no run and is left out; a damaged run is listed with its
    problem.
    """
    root = Path(root)
    if not root.is_dir():
        return []
    folders = [folder for folder in root.iterdir() if (folder / MANIFEST).exists()]
    return [
        _info(folder) for folder in sorted(folders, key=lambda folder: folder.name, reverse=True)
    ]


def recover(path: Path | str) -> Run:
    """Compact a run that was cut off, keeping every record that was flushed.

    It stays unfinished, and says so. A run that ended well, or was recovered, is only opened.

    Raises:
        MeasureError: the run still goes on, or there is no such folder.
        DamagedRunError: a file in it cannot be read.
    """
    path = Path(path)
    if not path.is_dir():
        raise MeasureError(f"There is no run folder {path}. The runs are the folders below runs/.")
    if (path / SHARDS).is_dir():
        manifest = run_files.read_manifest(path)
        if manifest["finished"]:
            run_files.drop_shards(path)
        else:
            _finish(path, manifest, None)
    return open_run(path)


def _finish(path: Path, manifest: dict[str, Any], client: ClientStats | None) -> dict[str, Any]:
    """Compact and summarise; the shards go last, by one rename."""
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


def _info(folder: Path) -> RunInfo:
    try:
        running = run_files.is_running(folder)
        manifest = run_files.read_manifest(folder)
        finished = bool(manifest["finished"])
        known = finished or (folder / SUMMARY).exists()
        summary = run_files.read_summary(folder) if known else None
        return RunInfo(folder, manifest, summary, finished, running)
    except (MeasureError, OSError) as error:
        return RunInfo(folder, None, None, False, False, str(error))
