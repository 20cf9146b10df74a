"""Runs read for the Compare page: opened once, cut to their window, ready to draw."""

import math
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from measure import latency, window
from measure.errors import MeasureError
from measure.quantiles import LEVELS, Floats, effective_counts
from measure.rosetta import Line, definitions
from measure.store import Run, open_run
from measure.summary import QUANTITIES, sample
from servers import paths

ROOT_VARIABLE = "SERVING_LAB_RUNS"
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
    chosen, open_loop = run.counted, window.is_open_loop(run.manifest)
    values, effective = {}, {}
    for name in QUANTITIES:
        found, request = sample(name, chosen, open_loop=open_loop)
        in_order = found[~np.isnan(found)]
        values[name] = np.sort(in_order)
        counts = effective_counts(in_order, request)
        effective[name] = {LEVELS[level]: worth for level, worth in counts.items() if worth}
    return LoadedRun(run, values, effective, token_rate(run), tokens_per_chunk(run))


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
    """The names as the address's `runs`: joined by commas unless a name has one itself."""
    return list(names) if any("," in name for name in names) else ",".join(names)
