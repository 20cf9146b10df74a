"""A full store for the benchmark of the dashboard: many runs, written by the run store itself.

The times are drawn, not measured: only how many there are matters here. Each run says so by its
name and by its note.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa

from measure import notes
from measure.manifest import new_manifest
from measure.records import SCHEMA, Clock, Status, TokenSource
from measure.slo import Slo
from measure.store import Gathering, list_runs
from measure.verdict import ClientStats
from servers.catalog import ENGINES

RATE_RPS = 40.0
CHUNKS = 30
_BATCH = 2_000
_EPOCH_S = 1_790_000_000.0


def fill(root: Path, runs: int, records: int) -> Iterator[str]:
    """Write what of the store is not there yet, a run at a time; tells each that it wrote."""
    there = {info.run_id for info in list_runs(root) if info.finished}
    missing = [number for number in range(runs) if name(number, records) not in there]
    root.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(_write, [root] * len(missing), missing, [records] * len(missing))


def drawn(rng: np.random.Generator, first: int, count: int) -> pa.RecordBatch:
    """Requests of `CHUNKS` tokens each, one in a hundred of which fails; a token a chunk."""
    number = np.arange(first, first + count)
    scheduled = number / RATE_RPS
    sent = scheduled + rng.exponential(2e-4, count)
    ttft = rng.lognormal(-2.3, 0.45, count)
    gaps = rng.lognormal(-3.9, 0.25, (count, CHUNKS - 1))
    times = sent[:, None] + np.cumsum(np.column_stack([ttft, gaps]), axis=1)
    failed = number % 100 == 99
    chunks = np.where(failed, 0, CHUNKS).astype(np.int32)
    offsets = np.concatenate([[0], np.cumsum(chunks)]).astype(np.int32)

    def moments(values: np.ndarray) -> pa.Array:
        return pa.array(values, type=pa.float64(), mask=failed)

    def counts(values: np.ndarray) -> pa.Array:
        return pa.array(values, type=pa.int32(), mask=failed)

    words = np.where(failed, Status.HTTP_ERROR.value, Status.OK.value)
    columns = {
        "request_id": pa.array([f"0-{one}" for one in number]),
        "worker": pa.array(np.zeros(count, np.int32)),
        "scheduled_s": pa.array(scheduled),
        "sent_s": pa.array(sent),
        "first_content_s": moments(times[:, 0]),
        "last_content_s": moments(times[:, -1]),
        "done_s": pa.array(np.where(failed, sent + 0.01, times[:, -1] + 5e-4)),
        "prompt_tokens": pa.array(np.full(count, 128, np.int32)),
        "output_tokens": counts(chunks),
        "first_chunk_tokens": counts(np.ones(count, np.int32)),
        "token_source": pa.array(
            np.where(failed, TokenSource.NONE.value, TokenSource.USAGE.value).tolist()
        ),
        "chunk_s": pa.ListArray.from_arrays(offsets, pa.array(times[~failed].ravel())),
        "chunks": pa.array(chunks),
        "status": pa.array(words.tolist()),
        "http_status": pa.array(np.where(failed, 503, 200).astype(np.int32)),
        "error": pa.array(["overloaded" if one else None for one in failed], pa.string()),
        "clock": pa.array([Clock.KERNEL.value] * count),
    }
    return pa.record_batch([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def name(number: int, records: int) -> str:
    """The run of that number."""
    return f"20260101-{number:06d}-drawn-{records}"


def _write(root: Path, number: int, records: int) -> str:
    run_id, rng = name(number, records), np.random.default_rng(number)
    answering = [engine for engine in ENGINES.values() if engine.protocols]
    engine = answering[number % len(answering)]
    settings = {knob.name: knob.default for knob in engine.knobs}
    manifest = new_manifest(
        run_id=run_id,
        epoch_s=_EPOCH_S + 3600 * number,
        name=f"drawn at random, {number}",
        engine={"name": engine.name, "model": "none", "settings": settings},
        load={
            "scenario": "chat",
            "protocol": engine.protocols[0],
            "host": "http://127.0.0.1:9",
            "arrival": {"kind": "poisson", "rate_rps": RATE_RPS},
            "duration_s": records / RATE_RPS,
            "warmup_s": 10.0,
        },
        slo=Slo(ttft_s=0.2, itl_s=0.04),
    )
    writer = Gathering(root / run_id, manifest, workers=1)
    for first in range(0, records, _BATCH):
        batch = drawn(rng, first, min(_BATCH, records - first))
        writer.take(0, batch.serialize().to_pybytes())
    end_s = records / RATE_RPS
    writer.close(ClientStats(0.1 * end_s, end_s, max_in_flight=60, loop_lag_p99_s=0.001))
    notes.change(
        root / run_id, tags=["drawn", f"tens-{number // 10}"], note="Drawn at random, not measured."
    )
    return run_id
