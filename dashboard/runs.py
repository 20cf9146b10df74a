"""Runs read for the Compare page: opened once, cut to their window, ready to draw."""

import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from measure import latency, window
from measure.errors import MeasureError
from measure.quantiles import LEVELS, Floats
from measure.store import Run, open_run
from measure.summary import QUANTITIES
from servers import paths

ROOT_VARIABLE = "SERVING_LAB_RUNS"
_MOST_BINS = 80
_BINS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)

POOLED = "chunk_gap_s"
"""The quantity with several values a request, which therefore depend on each other."""

Fingerprint = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True)
class LoadedRun:
    """A run and what is drawn of it. Shared between readers: nothing in it may be changed.

    `values` maps each quantity of a summary to its sorted values in the
    window, NaN left out; `tokens_per_s` is output tokens a second over the run's own time;
    `tokens_per_chunk` is NaN if unknown.
    """

    run: Run
    values: Mapping[str, Floats]
    tokens_per_s: tuple[Floats, Floats]
    tokens_per_chunk: float

    def intervals(self, key: str) -> dict[float, tuple[float, float]] | None:
        """The summary's intervals by survival, for values that depend on each other.

        `None` for independent values, whose intervals follow from the values themselves.
        """
        if key != POOLED:
            return None
        ci95 = self.run.summary[key]["ci95"]
        return {
            1 - LEVELS[name]: (pair[0], pair[1]) for name, pair in ci95.items() if pair is not None
        }

    @property
    def run_id(self) -> str:
        """The name of the run's folder: what links and figures call it."""
        return self.run.path.name


@dataclass(frozen=True)
class Unreadable:
    """A run that could not be opened, and why, for people."""

    run_id: str
    reason: str


def root() -> Path:
    """Where the runs are: `SERVING_LAB_RUNS`, else `runs/` in the project."""
    return Path(os.environ.get(ROOT_VARIABLE) or paths.ROOT / "runs")


def fingerprint(path: Path) -> Fingerprint:
    """What changes whenever a run's files do: names, sizes and times. Empty if it is gone."""
    found = []
    for file in sorted([*path.glob("*.*"), *path.glob("shards/*")]):
        try:
            status = file.stat()
        except OSError:
            continue
        found.append((file.name, status.st_size, status.st_mtime_ns))
    return tuple(found)


def load(path: Path) -> LoadedRun | Unreadable:
    """Open a run, finished or not; never raises for what is wrong inside its folder."""
    try:
        return prepare(open_run(path))
    except (MeasureError, OSError) as error:
        return Unreadable(path.name, str(error))


def prepare(run: Run) -> LoadedRun:
    """Sort the values of the requests that count."""
    chosen = run.counted
    values = {}
    for name, quantity in QUANTITIES.items():
        sample = quantity(chosen)
        values[name] = np.sort(sample[~np.isnan(sample)])
    values[POOLED] = np.sort(latency.chunk_gaps(chosen).gap_s)
    return LoadedRun(run, values, token_rate(run), tokens_per_chunk(run))


def token_rate(run: Run) -> tuple[Floats, Floats]:
    """Output tokens a second in bins of the run's time, warm-up and drain included.

    Returns:
        Middles of the bins (s from the run's start) and rates. The last bin, which the run does
        not fill, is left out unless it is the only one.
    """
    end_s = window.last_moment_s(run.records)
    width_s = next((width for width in _BINS_S if end_s / width <= _MOST_BINS), _BINS_S[-1])
    starts = np.arange(0.0, max(end_s - width_s, 0.0) + 1e-9, width_s)
    rates = [
        window.tokens_in(run.records, window.Window(start, start + width_s)) / width_s
        for start in starts.tolist()
    ]
    return starts + width_s / 2, np.array(rates)


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
    """The names as the address's `runs`: joined by commas unless a name has one itself."""
    return list(names) if any("," in name for name in names) else ",".join(names)
