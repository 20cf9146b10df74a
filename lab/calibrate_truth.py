"""The reference server's truth beside what a load test recorded of the same requests. Pure.

`servers/reference/truth.py` documents the format. Both sides count from the wall clock of one
machine; latencies and gaps are differences within one side, so no clock is compared with another.
"""

import json
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lab.errors import LabError
from measure import latency
from measure.quantiles import Floats
from servers.reference.truth import SCHEMA

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Truth:
    """What the server sent: request i has `sent_s[offset[i]:offset[i + 1]]`.

    `received_s` and `sent_s` are seconds since 1970, `late_s` how much later than planned each
    chunk was sent. `blocked` counts sends for which the client had left no room.
    """

    request_id: list[str]
    outcome: list[str]
    received_s: Floats
    tokens: Indices
    offset: Indices
    sent_s: Floats
    late_s: Floats
    blocked: int
    forgotten: int


@dataclass(frozen=True)
class Joined:
    """Requests that both sides know and that ended well: their true and their measured times.

    The two arrays of a pair have the same requests, or gaps, in the same order. `unmatched` are
    the answers of the run that the truth does not hold, or holds with another number of chunks.
    """

    ttft_true_s: Floats
    ttft_measured_s: Floats
    gap_true_s: Floats
    gap_measured_s: Floats
    late_s: Floats
    unmatched: int


def decode(raw: bytes) -> Truth:
    """The answer of `GET /truth`. Raises `LabError` if it is nothing of the kind."""
    try:
        line, _, rest = raw.partition(b"\n")
        head = json.loads(line)
        if head["schema"] != SCHEMA:
            raise ValueError(f"its schema is {head['schema']!r}")
        counts = np.asarray(head["chunks"], dtype=np.int64)
        total = int(counts.sum())
        if len(rest) != total * (8 + 4):
            raise ValueError(f"{total} chunks take {total * 12} bytes, and {len(rest)} came")
        return Truth(
            request_id=[str(one) for one in head["request_id"]],
            outcome=[str(one) for one in head["outcome"]],
            received_s=np.asarray(head["received_s"], dtype=np.float64),
            tokens=np.asarray(head["tokens"], dtype=np.int64),
            offset=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)]),
            sent_s=np.frombuffer(rest, "<f8", total),
            late_s=np.frombuffer(rest, "<f4", total, total * 8).astype(np.float64),
            blocked=int(head["blocked"]),
            forgotten=int(head["forgotten"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(
            f"What came from the reference server is not its truth ({error}). Is another server "
            "listening there?"
        ) from None


def join(truth: Truth, records: pa.Table, run_id: str) -> Joined:
    """Truth and records of the same requests, by the `X-Request-Id` that carried them over."""
    place = {name: i for i, name in enumerate(truth.request_id) if truth.outcome[i] == "ok"}
    answered = records.filter(pa.array(latency.is_ok(records)))
    ids = [f"{run_id}-{one}" for one in answered.column("request_id").to_pylist()]
    at = np.asarray([place.get(one, -1) for one in ids], dtype=np.int64)
    measured = latency.chunks(answered)
    true_count = np.diff(truth.offset)
    matched = (at >= 0) & (measured.count > 0)
    matched[matched] = true_count[at[matched]] == measured.count[matched]
    ours, theirs = np.flatnonzero(matched), at[matched]
    counts = measured.count[ours]
    sent_s = truth.sent_s[_places(truth.offset[theirs], counts)]
    read_s = measured.time_s[_places(measured.offset[ours], counts)]
    return Joined(
        ttft_true_s=truth.sent_s[truth.offset[theirs]] - truth.received_s[theirs],
        ttft_measured_s=latency.ttft_s(answered)[ours],
        gap_true_s=_gaps(sent_s, counts),
        gap_measured_s=_gaps(read_s, counts),
        late_s=truth.late_s[_places(truth.offset[theirs], counts)],
        unmatched=int((~matched).sum()),
    )


def _places(starts: Indices, counts: Indices) -> Indices:
    """Where the values of rows lie in a flat array: row i from `starts[i]`, `counts[i]` of them."""
    before = np.cumsum(counts) - counts
    return np.repeat(starts - before, counts) + np.arange(int(counts.sum()), dtype=np.int64)


def _gaps(times_s: Floats, counts: Indices) -> Floats:
    """Differences within each row of a flat array."""
    if not times_s.size:
        return times_s
    within = np.ones(times_s.size - 1, dtype=bool)
    within[np.cumsum(counts)[:-1] - 1] = False
    return np.diff(times_s)[within]
