"""The panels of a load test, from the metrics it exports while it runs."""

from dashboard.panels.types import Panel, Part
from measure import client_metrics
from servers.contract import Metric


def _client(metric: client_metrics.ClientMetric) -> Metric:
    unit = "s" if metric.name.endswith("_seconds") else "count"
    return Metric(metric.name, metric.name, metric.kind, unit, metric.help)


CLIENT = tuple(_client(metric) for metric in client_metrics.CLIENT_METRICS)
"""The load test's metrics in the engines' terms; the concept is the metric's own name."""


def _client_part(metric: client_metrics.ClientMetric) -> Part:
    return Part(metric.name)


CLIENT_PANELS = (
    Panel(
        "client_ttft",
        "TTFT at the client",
        "client",
        "s",
        "quantile",
        "First content chunk minus sent, from the load test's fine buckets (each 25 % wider than "
        "the one before). The exact numbers come from the records when the run has ended.",
        (_client_part(client_metrics.TTFT),),
    ),
    Panel(
        "client_ttft_from_schedule",
        "TTFT from schedule",
        "client",
        "s",
        "quantile",
        "First content chunk minus the time the arrival process wanted the request sent: the "
        "headline of an open loop.",
        (_client_part(client_metrics.TTFT_FROM_SCHEDULE),),
    ),
    Panel(
        "client_chunk_gap",
        "Chunk gap at the client",
        "client",
        "s",
        "quantile",
        "Time between content chunks as they arrive. Not ITL where a chunk holds several tokens.",
        (_client_part(client_metrics.CHUNK_GAP),),
    ),
    Panel(
        "client_tokens",
        "Output tokens received",
        "client",
        "tok/s",
        "rate",
        "Output tokens per second that reached the client.",
        (_client_part(client_metrics.OUTPUT_TOKENS),),
    ),
    Panel(
        "client_requests",
        "Requests finished",
        "client",
        "rps",
        "rate",
        "Requests per second that ended, however they ended.",
        (_client_part(client_metrics.REQUESTS),),
    ),
    Panel(
        "client_in_flight",
        "In flight",
        "client",
        "count",
        "sum",
        "Requests sent and not yet finished.",
        (_client_part(client_metrics.IN_FLIGHT),),
    ),
    Panel(
        "client_loop_lag",
        "Event-loop lag",
        "client",
        "s",
        "max",
        "How late a timer of the client fires. A lagging client sends late and, without kernel "
        "stamps, reads late.",
        (_client_part(client_metrics.LOOP_LAG),),
    ),
)
