"""Carry an instance's Prometheus series home with the run, so that it can be compared elsewhere.

The samples are the scraped ones at their own times (a range selector), not a resampled grid.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Any

import httpx
import pyarrow as pa

from lab.errors import LabError
from measure.server_metrics import SCHEMA

# Prometheus holds a query's samples in memory: ask for minutes, not hours, at a time.
CHUNK_S = 300.0
# What is said of the GPUs is nobody's own: it carries the exporter's name.
_GPUS = '{__name__=~"DCGM_FI_.+"}'
_POLL_S = 0.1


def collect(
    prometheus_url: str, instances: Sequence[str], start_s: float, end_s: float, epoch_s: float
) -> pa.Table:
    """All samples of `instances`, and of the GPUs, in [start_s, end_s] (wall-clock seconds).

    Columns: `t_s` (seconds from the run's start, `epoch_s`), `metric`, `labels`, `value`.
    Raises `LabError` if Prometheus does not answer.
    """
    parts = []
    selectors = (f'{{instance=~"{"|".join(instances)}"}}', _GPUS)
    edge_s = start_s
    with httpx.Client(base_url=prometheus_url, timeout=30.0) as client:
        while edge_s < end_s:
            stop_s = min(edge_s + CHUNK_S, end_s)
            for selector in selectors:
                parts.extend(_query(client, selector, edge_s, stop_s))
            edge_s = stop_s
    return to_table(parts, epoch_s)


def wait_for(prometheus_url: str, instances: Sequence[str], since_s: float, most_s: float) -> bool:
    """Return as soon as a scrape of each of `instances` that began after `since_s` is in.

    `since_s` is wall-clock time. Returns whether it came, within `most_s` seconds; one that
    Prometheus has never scraped is not waited for. A Prometheus that does not answer is waited
    for as a scrape is: `collect` says what is wrong with it.
    """
    query = f'min(timestamp(up{{instance=~"{"|".join(instances)}"}}))'
    deadline = time.monotonic() + most_s
    with httpx.Client(base_url=prometheus_url, timeout=most_s) as client:
        while time.monotonic() < deadline:
            if _last_s(client, query) >= since_s:
                return True
            time.sleep(_POLL_S)
    return False


def _last_s(client: httpx.Client, query: str) -> float:
    try:
        answer = client.get("/api/v1/query", params={"query": query}).raise_for_status()
        return float(answer.json()["data"]["result"][0]["value"][1])
    except (httpx.HTTPError, LookupError, ValueError, TypeError):
        return 0.0


def _query(
    client: httpx.Client, selector: str, start_s: float, stop_s: float
) -> list[dict[str, Any]]:
    # A range selector is open to the left: (time - range, time].
    query = f"{selector}[{max(1, round((stop_s - start_s) * 1000))}ms]"
    try:
        answer = client.get("/api/v1/query", params={"query": query, "time": f"{stop_s:.3f}"})
        answer.raise_for_status()
        result: list[dict[str, Any]] = answer.json()["data"]["result"]
    except (httpx.HTTPError, KeyError, ValueError) as problem:
        raise LabError(
            f"Prometheus at {client.base_url} did not give the engine's series ({problem!r}). "
            "The requests of the run are safe; only server_metrics.parquet is missing. "
            "`lab logs prometheus` shows what Prometheus says."
        ) from problem
    return result


def to_table(series: Iterable[dict[str, Any]], epoch_s: float) -> pa.Table:
    """Prometheus' matrix answer as rows of the run store, ordered by series, then time."""
    times: list[float] = []
    metrics: list[str] = []
    labels: list[list[tuple[str, str]]] = []
    values: list[float] = []
    for one in series:
        name = one["metric"].get("__name__", "")
        pairs = sorted((k, v) for k, v in one["metric"].items() if k != "__name__")
        for stamp_s, value in one["values"]:
            times.append(float(stamp_s) - epoch_s)
            metrics.append(name)
            labels.append(pairs)
            values.append(float(value))
    return pa.table([times, metrics, labels, values], schema=SCHEMA)
