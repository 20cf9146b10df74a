"""Which part of a run counts. One window cuts requests, tokens and durations alike.

The window is [warm-up, end): `end` is when the load stopped being offered, so the drain after it,
in which requests still in flight are waited for, is in no rate.

- A request belongs to the window if the moment it was *wanted* is in it: its scheduled time in
  open loop, its sent time in closed loop (where the schedule is the users' own pace). Its latency
  counts whole, also when it ends in the drain: cutting the long ones off would flatter the tail.
- Rates of requests are counts of such requests over the window's length.
- A token belongs to the window in which its chunk arrived, whosever it is: an answer begun in
  warm-up brings its later tokens, an answer that ends in the drain leaves its last ones out, and
  tokens of requests that failed later were still delivered.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from measure import latency
from measure.quantiles import Floats

_MOMENTS = ("scheduled_s", "sent_s", "first_content_s", "last_content_s", "done_s")


@dataclass(frozen=True)
class Window:
    """From `start_s` (within) to `end_s` (without), seconds on the run's clock."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """How long it is; 0 if the run ended before its warm-up did."""
        return max(0.0, self.end_s - self.start_s)

    def holds(self, times_s: Floats) -> npt.NDArray[np.bool_]:
        """Which of the times are in it (NaN is not)."""
        return (times_s >= self.start_s) & (times_s < self.end_s)


def is_open_loop(manifest: dict[str, Any]) -> bool:
    """Whether requests were sent by a schedule and not when users were free."""
    return bool(manifest["load"]["arrival"]["kind"] != "closed")


def last_moment_s(records: pa.Table) -> float:
    """The last time anywhere in the records; 0 without records."""
    latest = [latency.column(records, name) for name in _MOMENTS]
    known = [float(np.nanmax(times)) for times in latest if not np.isnan(times).all()]
    return max(known, default=0.0)


def window_of(records: pa.Table, manifest: dict[str, Any], end_s: float | None) -> Window:
    """The window of a run.

    Args:
        records: all its records.
        manifest: gives `load.warmup_s` and `load.duration_s`.
        end_s: when the load stopped being offered, if the load test said so. Otherwise (a run
            cut off) it is the last moment seen, or the planned end if that came before.
    """
    load = manifest["load"]
    if end_s is None:
        end_s = min(last_moment_s(records), load.get("duration_s") or np.inf)
    return Window(float(load.get("warmup_s") or 0.0), float(end_s))


def wanted_s(records: pa.Table, *, open_loop: bool) -> Floats:
    """The moment each request was wanted: the time that decides whose window it is in."""
    scheduled = latency.column(records, "scheduled_s")
    if open_loop:
        return scheduled
    sent = latency.column(records, "sent_s")
    return np.where(np.isnan(sent), scheduled, sent)


def counted(records: pa.Table, manifest: dict[str, Any], window: Window) -> pa.Table:
    """The records of the requests that belong to the window."""
    wanted = wanted_s(records, open_loop=is_open_loop(manifest))
    return records.filter(pa.array(window.holds(wanted)))


def tokens_in(records: pa.Table, window: Window) -> float:
    """Output tokens that arrived in the window, of all requests however they ended.

    The first chunk holds `first_chunk_tokens` (one if unknown), the chunks after it share the
    rest evenly, an only chunk holds them all. Where nobody counted tokens there are none.
    """
    flat = latency.chunks(records)
    count = flat.count
    within = window.holds(flat.time_s)
    before = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(within, dtype=np.int64)])
    hits = before[flat.offset[1:]] - before[flat.offset[:-1]]

    tokens = np.nan_to_num(latency.column(records, "output_tokens"))
    head = latency.column(records, "first_chunk_tokens")
    head = np.where(count == 1, tokens, np.minimum(np.where(np.isnan(head), 1.0, head), tokens))
    some = count > 0
    first_in = np.zeros(count.size, dtype=bool)
    first_in[some] = within[flat.offset[:-1][some]]
    per_chunk = (tokens - head) / np.maximum(count - 1, 1)
    return float(np.sum(first_in * head + (hits - first_in) * per_chunk, where=some))
