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

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from measure import run_files, server_metrics, sound
from measure.errors import DamagedRunError, MeasureError
from measure.run_files import LOGS, MANIFEST, SHARDS, SUMMARY
from measure.summary import summarise
from measure.window import Window, counted
from measure.writer import Gathering, RunWriter, finish

__all__ = [
    "LOGS", "Gathering", "Run", "RunInfo", "RunWriter", "info", "list_runs", "open_run", "recover",
    "run_dirs",
]  # fmt: skip


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
    odd = sound.problem(records)
    if odd:
        raise DamagedRunError(
            f"The records of {path} are not those of a run: {odd}. Restore them from a copy, or "
            f"move {path} out of the way."
        )
    if finished or ((path / SUMMARY).exists() and not (path / SHARDS).is_dir()):
        summary = run_files.read_summary(path)
    else:
        summary = summarise(records, manifest, None)
    return Run(path, manifest, records, summary, finished, running)


def list_runs(root: Path | str) -> list[RunInfo]:
    """The runs below a folder, newest first (by name); empty if the folder does not exist.

    A folder without a manifest is no run and is left out, and so is one whose name begins with a
    dot (`measure.run_folders`); a damaged run is listed with its problem.
    """
    return [info(folder) for folder in run_dirs(root)]


def run_dirs(root: Path | str) -> list[Path]:
    """The folders of the runs that `list_runs` lists, in its order."""
    root = Path(root)
    if not root.is_dir():
        return []
    folders = (folder for folder in root.iterdir() if not folder.name.startswith("."))
    found = [folder for folder in folders if (folder / MANIFEST).exists()]
    return sorted(found, key=lambda folder: folder.name, reverse=True)


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
            finish(path, manifest, None)
    return open_run(path)


def _must_be_text(folder: Path) -> None:
    try:
        folder.name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DamagedRunError(
            f"The folder {folder.name!a} has a name that is no UTF-8 text, so nothing can "
            "name it. Rename it."
        ) from error


def info(folder: Path) -> RunInfo:
    """What a listing says of the run in `folder`; never raises for what is wrong in there."""
    try:
        _must_be_text(folder)
        running = run_files.is_running(folder)
        manifest = run_files.read_manifest(folder)
        finished = bool(manifest["finished"])
        known = finished or (folder / SUMMARY).exists()
        summary = run_files.read_summary(folder) if known else None
        return RunInfo(folder, manifest, summary, finished, running)
    except (MeasureError, OSError) as error:
        return RunInfo(folder, None, None, False, False, str(error))
