"""How many requests were under way over the time of a run, by the client's records. Pure."""

import numpy as np
import pyarrow as pa

from measure import latency
from measure.quantiles import Floats
from measure.window import last_moment_s

BINS = 200


def in_flight(records: pa.Table, bins: int = BINS) -> tuple[Floats, Floats]:
    """Requests sent and not yet over: middles of equal bins of the run's time, and means in them.

    Each mean is exact, over the time of its bin and not over requests. A request that never ended
    (the run was cut off) stays under way to the end. Empty without records.
    """
    sent_s, done_s = latency.column(records, "sent_s"), latency.column(records, "done_s")
    was_sent = ~np.isnan(sent_s)
    end_s = last_moment_s(records)
    if not was_sent.any() or end_s <= 0:
        return np.empty(0), np.empty(0)
    edges = np.linspace(0.0, end_s, bins + 1)
    over = was_sent & ~np.isnan(done_s)
    seconds = _since(sent_s[was_sent], edges) - _since(done_s[over], edges)
    return (edges[:-1] + edges[1:]) / 2, np.diff(seconds) / np.diff(edges)


def _since(moments_s: Floats, at_s: Floats) -> Floats:
    """For each time in `at_s`: the seconds that have passed since each earlier moment, added up."""
    ordered = np.sort(moments_s)
    before = np.searchsorted(ordered, at_s, side="right")
    sums = np.concatenate([[0.0], np.cumsum(ordered)])
    return before * at_s - sums[before]
