"""Which part of a run counts. One window cuts requests, tokens and durations alike.

The window is [end of warm-up, end): `end` is when the load stopped being offered, so the drain
after it, in which requests still in flight are waited for, is in no rate. Where the warm-up ends
is a rule of the manifest (`measure.warmup`):

- fixed: after so many seconds.
- count: at the moment the N-th answer was complete. Answers count and not arrivals, for what warms
  a server is work done: 200 arrivals may wait for one compilation. Failed requests do not count.
- steady: where the steady state begins in the latency of the requests that ended well, in the
  order in which they were wanted (`measure.steady`). If none is found nothing is left out, and the
  summary and the verdict say so.

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
from measure.steady import steady_state
from measure.warmup import Warmup

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


@dataclass(frozen=True)
class Cut:
    """The window of a run and the rule that cut its start.

    `problem` says why the rule could not be followed (no steady state, too few answers).
    """

    window: Window
    warmup: Warmup
    problem: str | None = None


def cut(records: pa.Table, manifest: dict[str, Any], end_s: float | None) -> Cut:
    """The window of a run.

    Args:
        records: all its records.
        manifest: gives `load.warmup` (older ones `load.warmup_s`) and `load.duration_s`.
        end_s: when the load stopped being offered, if the load test said so. Otherwise (a run
            cut off) it is the last moment seen, or the planned end if that came before.
    """
    load = manifest["load"]
    if end_s is None:
        end_s = min(last_moment_s(records), load.get("duration_s") or np.inf)
    end_s = float(end_s)
    warmup = Warmup.of(load)
    problem: str | None = None
    if warmup.rule == "count":
        start_s, problem = _after_answers(records, warmup.requests or 0, end_s)
    elif warmup.rule == "steady":
        start_s, problem = _steady_from(records, end_s, open_loop=is_open_loop(manifest))
    else:
        start_s = warmup.duration_s or 0.0
    return Cut(Window(start_s, end_s), warmup, problem)


def _after_answers(records: pa.Table, count: int, end_s: float) -> tuple[float, str | None]:
    """When the last of the first `count` answers was complete; the end if there were fewer."""
    done = latency.column(records, "done_s")[latency.is_ok(records)]
    done = np.sort(done[done < end_s])
    if count == 0:
        return 0.0, None
    if done.size < count:
        return end_s, f"the warm-up takes {count} answers, and the run had {done.size} in all"
    return float(done[count - 1]), None


def _steady_from(records: pa.Table, end_s: float, *, open_loop: bool) -> tuple[float, str | None]:
    """When the first request of the steady state was wanted; 0 if there is no steady state.

    The series is E2E, which holds all that can settle: the queue, the first token, the batch. In
    open loop it is counted from the schedule.
    """
    wanted = wanted_s(records, open_loop=open_loop)
    e2e = latency.e2e_from_schedule_s(records) if open_loop else latency.e2e_s(records)
    known = ~np.isnan(e2e) & ~np.isnan(wanted) & (wanted < end_s)
    order = np.argsort(wanted[known], kind="stable")
    # No answer takes no time: a clock too coarse to see it must not make its logarithm infinite.
    found = steady_state(np.maximum(e2e[known][order], 1e-9))
    if found.cut is None:
        return 0.0, f"no steady state was found ({found.problem}): nothing was left out as warm-up"
    return (float(wanted[known][order][found.cut]) if found.cut else 0.0), None


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
    within = window.holds(wanted)
    # Without a warm-up that is mostly everything, and no copy of a million records is needed.
    return records if within.all() else records.filter(pa.array(within))


def chunks_in(records: pa.Table, window: Window) -> int:
    """Content chunks that arrived in the window, of all requests however they ended."""
    return int(window.holds(latency.chunks(records).time_s).sum())


def answers_in(records: pa.Table, window: Window) -> int:
    """Requests that were answered well and to the end in the window, whenever they were sent."""
    in_time = window.holds(latency.column(records, "done_s"))
    return int(np.sum(latency.is_ok(records) & in_time))


def tokens_in(records: pa.Table, window: Window) -> float:
    """Output tokens that arrived in the window, of all requests however they ended."""
    time_s, tokens = token_arrivals(records)
    return float(np.sum(tokens, where=window.holds(time_s)))


def token_arrivals(records: pa.Table) -> tuple[Floats, Floats]:
    """When each content chunk of the run arrived, and how many output tokens it brought.

    The first chunk holds `first_chunk_tokens` (one if unknown), the chunks after it share the
    rest evenly, an only chunk holds them all. Where nobody counted tokens there are none.
    """
    flat = latency.chunks(records)
    count = flat.count
    some = count > 0
    tokens = np.nan_to_num(latency.column(records, "output_tokens"))
    head = latency.column(records, "first_chunk_tokens")
    head = np.where(count == 1, tokens, np.minimum(np.where(np.isnan(head), 1.0, head), tokens))
    each = np.repeat((tokens - head) / np.maximum(count - 1, 1), count)
    each[flat.offset[:-1][some]] = head[some]
    return flat.time_s, each
