"""The definitions of latency, over the records of a run.

Every function takes a table of `measure.records.SCHEMA` and returns seconds, one value a row in
the table's order, NaN where the quantity is undefined. A request that did not end well has no
latency: its row is NaN (only `schedule_delay_s`, which speaks of the client, keeps it).

The words are those of DESIGN.md; tools differ in them (vLLM's `bench serve`, guidellm, aiperf and
genai-bench each mean something else by TTFT, ITL or TPOT).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from measure.quantiles import Floats
from measure.records import Status


@dataclass(frozen=True)
class Gaps:
    """Times between successive content chunks, pooled; `row` says whose each gap is."""

    gap_s: Floats
    row: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Chunks:
    """Arrival times of all content chunks, flat: row i has `time_s[offset[i]:offset[i + 1]]`."""

    time_s: Floats
    offset: npt.NDArray[np.int64]

    @property
    def count(self) -> npt.NDArray[np.int64]:
        """Chunks of each row."""
        return np.diff(self.offset)

    @property
    def row(self) -> npt.NDArray[np.int32]:
        """The row each chunk belongs to."""
        return np.repeat(np.arange(self.offset.size - 1, dtype=np.int32), self.count)


def column(records: pa.Table, name: str) -> Floats:
    """A numeric column as floats, NaN for null."""
    values = pc.cast(records.column(name), pa.float64())
    return np.asarray(pc.fill_null(values, float("nan")).to_numpy(), dtype=np.float64)


def is_ok(records: pa.Table) -> npt.NDArray[np.bool_]:
    """Which requests ended well."""
    return np.asarray(pc.equal(records.column("status"), Status.OK.value).to_numpy(), dtype=bool)


def chunks(records: pa.Table) -> Chunks:
    """The arrival times of every content chunk of every request, whatever its end."""
    lists = records.column("chunk_s")
    counts = np.asarray(pc.list_value_length(lists).to_numpy(), dtype=np.int64)
    times = pc.list_flatten(lists).to_numpy() if len(lists) else []
    offset = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(counts)])
    return Chunks(np.asarray(times, dtype=np.float64), offset)


def ttft_s(records: pa.Table) -> Floats:
    """Time to first token: first chunk that carries content − sent.

    A chunk with only a role, or an empty one, does not count; reasoning text does. This is
    aiperf's rule; `vllm bench serve` takes the first chunk with `choices`, even empty.
    """
    return _when_ok(records, column(records, "first_content_s") - column(records, "sent_s"))


def ttft_from_schedule_s(records: pa.Table) -> Floats:
    """First content − the time the arrival process wanted the request sent.

    The headline in open loop: it holds the wait that a busy client, or a closed loop, hides
    ("coordinated omission": Gil Tene, *How NOT to Measure Latency*, 2013).
    """
    return _when_ok(records, column(records, "first_content_s") - column(records, "scheduled_s"))


def e2e_s(records: pa.Table) -> Floats:
    """End-to-end latency: last content byte − sent."""
    return _when_ok(records, column(records, "last_content_s") - column(records, "sent_s"))


def e2e_from_schedule_s(records: pa.Table) -> Floats:
    """Last content byte − the time the arrival process wanted the request sent."""
    return _when_ok(records, column(records, "last_content_s") - column(records, "scheduled_s"))


def itl_s(records: pa.Table) -> Floats:
    """Inter-token latency of a request.

    (last content − first content) / (output tokens − tokens in the first chunk), as aiperf has
    it: right when chunks hold several tokens. A first chunk whose tokens are unknown is taken to
    hold one. Undefined (NaN) where no token follows the first chunk: for one token, for an
    answer that came in one piece, and where nobody counted the tokens.
    """
    first = column(records, "first_chunk_tokens")
    after = column(records, "output_tokens") - np.where(np.isnan(first), 1.0, first)
    return _per_token(records, after)


def tpot_s(records: pa.Table) -> Floats:
    """Time per output token: (E2E − TTFT) / (output tokens − 1), as `vllm bench serve` has it.

    guidellm's counts TTFT in. Undefined (NaN) for one token and for an answer in one piece.
    """
    return _per_token(records, column(records, "output_tokens") - 1.0)


def schedule_delay_s(records: pa.Table) -> Floats:
    """How late the client was: sent − scheduled, of every request sent, however it ended."""
    return column(records, "sent_s") - column(records, "scheduled_s")


def chunk_gaps(records: pa.Table) -> Gaps:
    """Times between successive content chunks of the requests that ended well, pooled.

    Not ITL when a chunk holds several tokens. `vllm bench serve` calls these gaps "ITL".
    """
    flat = chunks(records)
    if flat.time_s.size < 2:
        return Gaps(np.empty(0), np.empty(0, dtype=np.int32))
    row = flat.row
    within = (row[1:] == row[:-1]) & is_ok(records)[row[1:]]
    row = row[1:][within]
    return Gaps(np.diff(flat.time_s)[within], row)


def merged_first_chunks(records: pa.Table) -> float | None:
    """The share of answers in two or more chunks whose first two carry the same stamp.

    Those two came in one read, and its stamp is that of the last packet in it: the TTFT of such
    an answer is an upper bound. Of requests that ended well; `None` if none came in two chunks.
    """
    flat = chunks(records)
    first = flat.offset[:-1][(flat.count > 1) & is_ok(records)]
    if first.size == 0:
        return None
    return float(np.mean(flat.time_s[first] == flat.time_s[first + 1]))


def merged_chunks(records: pa.Table) -> float | None:
    """The share of chunks, first ones left out, that carry the stamp of the one before.

    They came in one read with it: the gap is 0, and the gap before it is longer than it was. Of
    requests that ended well; `None` if there are no such chunks.
    """
    gap_s = chunk_gaps(records).gap_s
    return float(np.mean(gap_s == 0)) if gap_s.size else None


def _when_ok(records: pa.Table, values: Floats) -> Floats:
    return np.where(is_ok(records), values, np.nan)


def _per_token(records: pa.Table, tokens: Floats) -> Floats:
    """The time from first to last content over `tokens`, where more than one chunk came."""
    span = column(records, "last_content_s") - column(records, "first_content_s")
    defined = (tokens > 0) & (column(records, "chunks") > 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return _when_ok(records, np.where(defined, span / tokens, np.nan))
