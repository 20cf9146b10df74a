"""The panels of a load test, from the metrics it exports while it runs."""

from dashboard.panels.types import Panel, Part
from measure import client_metrics
from servers.contract import Metric


def _client(metric: client_metrics.ClientMetric) -> Metric:
    unit = "s" if metric.name.endswith("_seconds") else "count"
    by = metric.labels[0] if metric.labels else ""
    return Metric(metric.name, metric.name, metric.kind, unit, metric.help, by=by)


REQUESTS = client_metrics.REQUESTS.name

CLIENT = (
    *(_client(metric) for metric in client_metrics.CLIENT_METRICS),
    Metric(
        "client_failures",
        REQUESTS,
        "counter",
        "requests",
        "Requests that were not answered as they should be.",
        selector={"status": ("http_error", "stream_error", "timeout")},
    ),
)
"""The load test's metrics in the engines' terms; the concept is the metric's own name.

`client_failures` are those of its requests that failed. One that the load's end cut short
(`cancelled`) did not.
"""


def _part(metric: client_metrics.ClientMetric, label: str = "", *, each: bool = False) -> Part:
    return Part(metric.name, label, each=each)


CLIENT_PANELS = (
    Panel(
        "client_ttft",
        "TTFT at the client",
        "client",
        "s",
        "quantile",
        "First content chunk minus sent, from the load test's fine buckets (each 25 % wider than "
        "the one before). The exact numbers come from the records when the run has ended.",
        (_part(client_metrics.TTFT),),
        pair="ttft",
    ),
    Panel(
        "client_ttft_from_schedule",
        "TTFT from schedule",
        "client",
        "s",
        "quantile",
        "First content chunk minus the time the arrival process wanted the request sent: the "
        "headline of an open loop.",
        (_part(client_metrics.TTFT_FROM_SCHEDULE),),
    ),
    Panel(
        "client_chunk_gap",
        "Chunk gap at the client",
        "client",
        "s",
        "quantile",
        "Time between content chunks as they arrive. Not ITL where a chunk holds several tokens.",
        (_part(client_metrics.CHUNK_GAP),),
        pair="itl",
    ),
    Panel(
        "client_e2e",
        "E2E at the client",
        "client",
        "s",
        "quantile",
        "Last content byte minus sent, from the load test's fine buckets.",
        (_part(client_metrics.E2E),),
        pair="e2e",
    ),
    Panel(
        "client_e2e_heatmap",
        "E2E at the client, all of it",
        "client",
        "s",
        "heatmap",
        "Each cell is a bucket of E2E at one time: the darker, the more answers a second. Two "
        "bands are two kinds of requests, which one quantile would hide.",
        (_part(client_metrics.E2E),),
    ),
    Panel(
        "client_tokens",
        "Output tokens received",
        "client",
        "tok/s",
        "rate",
        "Output tokens per second that reached the client.",
        (_part(client_metrics.OUTPUT_TOKENS),),
        topic="tokens",
        pair="output_tokens",
    ),
    Panel(
        "client_requests",
        "Requests finished",
        "client",
        "rps",
        "rate",
        "Requests per second that ended, however they ended.",
        (_part(client_metrics.REQUESTS),),
        topic="requests",
        pair="requests",
    ),
    Panel(
        "client_outcomes",
        "Requests by outcome",
        "client",
        "rps",
        "rate",
        "Requests per second by how they ended. An error can come in the middle of a stream: "
        "then it is a stream error, in spite of HTTP 200.",
        (_part(client_metrics.REQUESTS, each=True),),
        topic="requests",
        stacked=True,
    ),
    Panel(
        "client_failures",
        "Share of failed requests",
        "client",
        "ratio",
        "share",
        "Failed requests over all that ended in the rate window. Those that the end of the load "
        "cut short are no failures.",
        (Part("client_failures", over=REQUESTS),),
        topic="requests",
    ),
    Panel(
        "client_offered",
        "Offered and achieved",
        "client",
        "rps",
        "rate",
        "Requests per second that were really sent, and, in an open loop, those that the schedule "
        "asked for. Where the two part, the client or its cap on requests in flight is the limit.",
        (_part(client_metrics.SENT, "sent"), _part(client_metrics.OFFERED, "offered")),
        topic="requests",
    ),
    Panel(
        "client_schedule_delay",
        "Schedule delay",
        "client",
        "s",
        "quantile",
        "Sent minus the time the arrival process wanted it sent. It is the client's own lateness "
        "and belongs to no engine. In a closed loop it is zero.",
        (_part(client_metrics.SCHEDULE_DELAY),),
        topic="requests",
    ),
    Panel(
        "client_in_flight",
        "In flight",
        "client",
        "count",
        "sum",
        "Requests sent and not yet finished.",
        (_part(client_metrics.IN_FLIGHT),),
        topic="batching",
        pair="running",
    ),
    Panel(
        "client_users",
        "Users",
        "client",
        "count",
        "sum",
        "Users of a closed loop, each of whom waits for an answer before asking again. An open "
        "loop has none: its schedule asks.",
        (_part(client_metrics.USERS),),
        topic="requests",
    ),
    Panel(
        "client_loop_lag",
        "Event-loop lag",
        "client",
        "s",
        "max",
        "How late a timer of the client fires. A lagging client sends late and, without kernel "
        "stamps, reads late.",
        (_part(client_metrics.LOOP_LAG),),
        topic="machine",
    ),
)
