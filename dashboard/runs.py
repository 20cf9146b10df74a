"""Runs read for the Compare page: opened once, cut to their window, ready to draw."""

import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from dashboard import text
from measure import latency, server_metrics, window
from measure.errors import MeasureError
from measure.quantiles import LEVELS, Floats, effective_counts
from measure.rosetta import Line, definitions
from measure.run_files import MANIFEST, REQUESTS, SUMMARY
from measure.store import Run, RunInfo, info, open_run, run_dirs
from measure.summary import POOLED, QUANTITIES, sample
from servers import paths

ROOT_VARIABLE = "SERVING_LAB_RUNS"
_FILES = (MANIFEST, SUMMARY, REQUESTS, server_metrics.FILE)
_MOST_BINS = 80
_BINS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)

Fingerprint = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class LoadedRun:
    """A run and what is drawn of it. Shared between readers: nothing in it may be changed.

    `values` maps each quantity of a summary to its sorted values in the window, NaN left out;
    `effective` to how many independent ones they are worth, by level, where that is known
    (`measure.dependence`); `tokens_per_s` is output tokens a second over the run's own time;
    `tokens_per_chunk` is NaN if unknown.
    """

    run: Run
    values: Mapping[str, Floats]
    effective: Mapping[str, Mapping[float, int]]
    tokens_per_s: tuple[Floats, Floats]
    tokens_per_chunk: float

    @property
    def run_id(self) -> str:
        """The name of the run's folder: what links and figures call it."""
        return self.run.path.name

    @property
    def size_bytes(self) -> int:
        """What its records and values take in memory."""
        return self.run.records.nbytes + sum(values.nbytes for values in self.values.values())

    @cached_property
    def definitions(self) -> tuple[Line, ...]:
        """The run under other tools' definitions; seconds for a big run, so only when asked."""
        return definitions(self.run)


@dataclass(frozen=True)
class Unreadable:
    """A run that could not be opened, and why, for people."""

    run_id: str
    reason: str


def root() -> Path:
    """Where the runs are: `SERVING_LAB_RUNS`, else `runs/` in the project."""
    return Path(os.environ.get(ROOT_VARIABLE) or paths.ROOT / "runs")


def fingerprint(path: Path) -> Fingerprint:
    """What changes whenever a run's numbers do: names, sizes and times of the files they are in.

    Notes that people write change none. Empty if the run is gone.
    """
    return _looks([*(path / name for name in _FILES), *sorted(path.glob("shards/*"))])


def _looks(files: Sequence[Path]) -> Fingerprint:
    found = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            continue
        found.append((file.name, status.st_size, status.st_mtime_ns))
    return tuple(found)


_listed: dict[Path, tuple[Fingerprint, RunInfo]] = {}
"""By folder: what its files looked like, and what was read then. Replaced whole, never changed."""


def listed(folder: Path) -> list[RunInfo]:
    """The runs below a folder, as `list_runs` gives them; newest first.

    A page asks at every rerun. What has ended and whose files are the same is not read again.
    """
    global _listed
    kept, found = _listed, {}
    for path in run_dirs(folder):
        stamp = _stamp(path)
        before = kept.get(path)
        found[path] = before if before and before[0] == stamp else (stamp, info(path))
    _listed = {path: one for path, one in found.items() if one[1].finished and not one[1].problem}
    return [one for _, one in found.values()]


def _stamp(path: Path) -> Fingerprint:
    return _looks([path / MANIFEST, path / SUMMARY])


def load(path: Path) -> LoadedRun | Unreadable:
    """Open a run, finished or not; never raises for what is wrong inside its folder."""
    try:
        return prepare(open_run(path))
    except (MeasureError, OSError) as error:
        return Unreadable(path.name, str(error))


def prepare(run: Run) -> LoadedRun:
    """Sort the values of the requests that count."""
    chosen, open_loop = run.counted, window.is_open_loop(run.manifest)
    values, effective = {}, {}
    for name in QUANTITIES:
        found, _ = sample(name, chosen, open_loop=open_loop)
        values[name] = np.sort(found[~np.isnan(found)])
        effective[name] = _Worth(name, run)
    return LoadedRun(run, values, effective, token_rate(run), tokens_per_chunk(run))


class _Worth(Mapping[float, int]):
    """How many independent values a sample is worth, by level: worked out when first asked for."""

    def __init__(self, quantity: str, run: Run) -> None:
        self._quantity, self._run = quantity, run

    @cached_property
    def _counts(self) -> dict[float, int]:
        open_loop = window.is_open_loop(self._run.manifest)
        records = self._run.records
        if self._quantity != POOLED:
            # Most of a record's bytes, and to cut the window out of them takes most of the time.
            records = records.drop_columns(["request_id", "chunk_s"])
        chosen = window.counted(records, self._run.manifest, self._run.window)
        found, request = sample(self._quantity, chosen, open_loop=open_loop)
        counts = effective_counts(found[~np.isnan(found)], request)
        return {LEVELS[level]: worth for level, worth in counts.items() if worth}

    def __getitem__(self, level: float) -> int:
        return self._counts[level]

    def __iter__(self) -> Iterator[float]:
        return iter(self._counts)

    def __len__(self) -> int:
        return len(self._counts)


def token_rate(run: Run) -> tuple[Floats, Floats]:
    """Output tokens a second in bins of the run's time, warm-up and drain included.

    Returns:
        Middles of the bins (s from the run's start) and rates. The last bin, which the run does
        not fill, is left out unless it is the only one.
    """
    end_s = window.last_moment_s(run.records)
    width_s = next((width for width in _BINS_S if end_s / width <= _MOST_BINS), _BINS_S[-1])
    starts = np.arange(0.0, max(end_s - width_s, 0.0) + 1e-9, width_s)
    time_s, tokens = window.token_arrivals(run.records)
    bins = np.floor(time_s / width_s).astype(np.int64)
    within = (bins >= 0) & (bins < starts.size)
    counts = np.bincount(bins[within], weights=tokens[within], minlength=starts.size)
    return starts + width_s / 2, counts / width_s


def tokens_per_chunk(run: Run) -> float:
    """Output tokens for each content chunk: above 1, chunk gaps are not ITL. NaN if unknown."""
    tokens = latency.column(run.records, "output_tokens")
    chunks = latency.column(run.records, "chunks")
    known = ~np.isnan(tokens) & (chunks > 0)
    return float(tokens[known].sum() / chunks[known].sum()) if known.any() else math.nan


def names_in(values: Sequence[str], known: Collection[str]) -> list[str]:
    """The run names in the `runs` parameters of an address, which hold one or, by commas, many."""
    names: list[str] = []
    for value in values:
        names += [value] if value in known else [part.strip() for part in value.split(",")]
    return list(dict.fromkeys(name for name in names if name))


def to_query(names: Sequence[str]) -> str | list[str]:
    """The names as the address's `runs`: joined by commas unless a name has one itself.

    One that is no text (a folder's name that is not UTF-8) is left out: no address can hold it.
    """
    said = [name for name in names if text.is_whole(name)]
    alone = any("," in name or name != name.strip() for name in said)
    return said if alone else ",".join(said)
