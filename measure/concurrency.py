"""How many requests were under way at each moment of a run, by the client's records. Pure."""

import numpy as np
import pyarrow as pa

from measure import latency
from measure.quantiles import Floats
from measure.window import last_moment_s

POINTS = 600


def in_flight(records: pa.Table, points: int = POINTS) -> tuple[Floats, Floats]:
    """Requests sent and not yet over, at evenly spaced moments of the run; exact at each.

    A request that never ended (the run was cut off) stays under way to the end. Empty without
    records.
    """
    sent_s, done_s = latency.column(records, "sent_s"), latency.column(records, "done_s")
    was_sent = ~np.isnan(sent_s)
    done_s = np.sort(done_s[was_sent & ~np.isnan(done_s)])
    sent_s = np.sort(sent_s[was_sent])
    if not sent_s.size:
        return np.empty(0), np.empty(0)
    moments = np.linspace(0.0, last_moment_s(records), points)
    begun = np.searchsorted(sent_s, moments, side="right")
    over = np.searchsorted(done_s, moments, side="right")
    return moments, (begun - over).astype(np.float64)
