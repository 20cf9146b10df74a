"""The client's own Prometheus metrics: names, buckets and meaning, in one place.

The load test exports them while a run goes on; the dashboard reads them. They are for watching:
every number that is reported after a run comes from the records, never from these buckets.
"""

from dataclasses import dataclass
from typing import Literal

LATENCY_BUCKETS_S = tuple(round(0.001 * 1.25**i, 6) for i in range(50))
GAP_BUCKETS_S = tuple(round(0.0005 * 1.25**i, 7) for i in range(45))


@dataclass(frozen=True)
class ClientMetric:
    """One metric family the load test exports. Every series carries `run_id` and `scenario`."""

    name: str
    kind: Literal["gauge", "counter", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


TTFT = ClientMetric(
    "client_ttft_seconds", "histogram", "First content chunk minus sent.", (), LATENCY_BUCKETS_S
)
TTFT_FROM_SCHEDULE = ClientMetric(
    "client_ttft_from_schedule_seconds",
    "histogram",
    "First content chunk minus the time the arrival process wanted the request sent.",
    (),
    LATENCY_BUCKETS_S,
)
CHUNK_GAP = ClientMetric(
    "client_chunk_gap_seconds", "histogram", "Time between content chunks.", (), GAP_BUCKETS_S
)
E2E = ClientMetric(
    "client_e2e_seconds", "histogram", "Last content byte minus sent.", (), LATENCY_BUCKETS_S
)
REQUESTS = ClientMetric(
    "client_requests_total", "counter", "Requests finished, by how they ended.", ("status",)
)
OUTPUT_TOKENS = ClientMetric("client_output_tokens_total", "counter", "Output tokens received.")
SCHEDULE_DELAY = ClientMetric(
    "client_schedule_delay_seconds",
    "histogram",
    "Sent minus the time the arrival process wanted the request sent.",
    (),
    LATENCY_BUCKETS_S,
)
OFFERED = ClientMetric(
    "client_offered_total", "counter", "Arrivals whose time has come; none in a closed loop."
)
SENT = ClientMetric("client_sent_total", "counter", "Requests sent, finished or not.")
USERS = ClientMetric("client_users", "gauge", "Users of a closed loop; none in an open one.")
IN_FLIGHT = ClientMetric("client_in_flight", "gauge", "Requests sent and not yet finished.")
LOOP_LAG = ClientMetric(
    "client_loop_lag_seconds", "gauge", "How late a timer of the client's event loop fires."
)

CLIENT_METRICS = (
    TTFT,
    TTFT_FROM_SCHEDULE,
    CHUNK_GAP,
    E2E,
    REQUESTS,
    OUTPUT_TOKENS,
    SCHEDULE_DELAY,
    OFFERED,
    SENT,
    USERS,
    IN_FLIGHT,
    LOOP_LAG,
)
