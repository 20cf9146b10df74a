"""The catalogue of live panels: what each shows, in which unit, and the PromQL that reads it.

A panel names *concepts* (`servers.contract.Metric.concept`), never an engine's own metric: the
engine's catalogue says which metric carries a concept, of what kind and in what unit. Pure.
"""

from collections.abc import Iterable, Sequence

from dashboard import promql
from dashboard.gpu_panels import GPU_PANELS
from dashboard.panel_types import Form, Group, Panel, Part, Query
from measure import client_metrics
from servers.contract import Metric


def queries(
    panel: Panel, metrics: Sequence[Metric], matchers: promql.Matchers, window_s: int
) -> tuple[Query, ...]:
    """What to ask for the instances that `matchers` select; empty if nothing is exported."""
    found = []
    for part in panel.parts:
        for metric in metrics:
            if metric.concept == part.concept:
                over = next((m for m in metrics if m.concept == part.over), None)
                query = _query(panel, part, metric, over, matchers, window_s)
                if query is not None:
                    found.append(query)
    return tuple(found)


def _query(
    panel: Panel,
    part: Part,
    metric: Metric,
    over: Metric | None,
    matchers: promql.Matchers,
    window_s: int,
) -> Query | None:
    selected = {**matchers, **metric.selector}
    by = (panel.identity,)

    def query(expression: str, form: Form = "line", note: str = "") -> Query:
        return Query(expression, form, metric.scale, part.label, metric.name, note, panel.identity)

    match panel.reading, metric.kind:
        case "rate", "counter":
            return query(promql.rate(metric.name, selected, window_s, by))
        case ("sum" | "max") as how, "gauge":
            return query(promql.gauge(metric.name, selected, by, how))
        case "quantile", "histogram":
            return query(promql.buckets(metric.name, selected, window_s, by), "buckets")
        case "quantile", "summary":
            return query(
                promql.gauge(metric.name, selected, [*by, "quantile"], "max"),
                "summary",
                "quantiles computed by the engine over its own sliding window",
            )
        case "mean", "gauge":
            return query(promql.gauge(metric.name, selected, by, "max"))
        case "mean", "histogram":
            ratio = promql.ratio(
                f"{metric.name}_sum", f"{metric.name}_count", selected, window_s, by
            )
            return query(ratio, note="a mean over the rate window")
        case (("mean" | "quantile"), "counter") if over is not None:
            return query(
                promql.ratio(metric.name, over.name, selected, window_s, by),
                note="a mean: no distribution is exported",
            )
    return None


def absent(panel: Panel, title: str) -> str:
    """Why a panel cannot show this source."""
    wanted = " or ".join(part.concept.replace("_", " ") for part in panel.parts)
    return f"{title} exports no metric of {wanted}."


def silent(found: Iterable[Query], name: str) -> str:
    """What to say where a source should have series and Prometheus has none."""
    metrics = ", ".join(sorted({query.metric for query in found}))
    return f"{name}: Prometheus has nothing of {metrics} in this time range."


def _client(metric: client_metrics.ClientMetric) -> Metric:
    unit = "s" if metric.name.endswith("_seconds") else "count"
    return Metric(metric.name, metric.name, metric.kind, unit, metric.help)


CLIENT = tuple(_client(metric) for metric in client_metrics.CLIENT_METRICS)
"""The load test's metrics in the engines' terms; the concept is the metric's own name."""

PROCESS = (
    Metric(
        "memory",
        "lab_instance_memory_bytes",
        "gauge",
        "bytes",
        "Memory of all processes of the instance, pages shared between them counted once.",
        selector={"kind": "pss"},
    ),
    Metric(
        "cpu", "lab_instance_cpu_seconds_total", "counter", "s", "CPU time of all its processes."
    ),
    Metric(
        "gpu_memory",
        "lab_instance_gpu_memory_bytes",
        "gauge",
        "bytes",
        "GPU memory of all its processes, on all GPUs.",
    ),
)
"""What the lab's exporter says about the processes of every instance."""


def _client_part(metric: client_metrics.ClientMetric) -> Part:
    return Part(metric.name)


PANELS = (
    Panel(
        "ttft",
        "TTFT in the engine",
        "engine",
        "s",
        "quantile",
        "Time to the first token as the engine measures it, from its histogram: the quantile lies "
        "inside the band, whose height is the bucket's width. Network and client are not in it.",
        (Part("ttft"),),
    ),
    Panel(
        "itl",
        "ITL in the engine",
        "engine",
        "s",
        "quantile",
        "Time between tokens as the engine measures it, from its histogram: the quantile lies "
        "inside the band.",
        (Part("itl"),),
    ),
    Panel(
        "output_tokens",
        "Output tokens",
        "engine",
        "tok/s",
        "rate",
        "Tokens generated per second, over all requests.",
        (Part("output_tokens"),),
    ),
    Panel(
        "requests",
        "Requests finished",
        "engine",
        "rps",
        "rate",
        "Requests that ended per second, by how they ended. Outcomes that did not happen are left "
        "out.",
        (
            Part("requests_ok"),
            Part("requests_failed", "failed"),
            Part("requests_cancelled", "cancelled"),
            Part("classify_requests_ok", "classify"),
            Part("classify_requests_failed", "classify failed"),
        ),
    ),
    Panel(
        "running",
        "Running",
        "engine",
        "count",
        "sum",
        "Requests being computed now: the size of the running batch where batching is continuous.",
        (Part("running"),),
    ),
    Panel(
        "waiting",
        "Waiting",
        "engine",
        "count",
        "sum",
        "Requests accepted and not yet being computed. A queue that stays is TTFT.",
        (Part("waiting"), Part("classify_waiting", "classify")),
    ),
    Panel(
        "queue_time",
        "Queue time",
        "engine",
        "s",
        "quantile",
        "Time a request waits in the engine before it is computed.",
        (
            Part("queue_time", over="requests_ok"),
            Part("classify_queue_time", "classify", over="classify_requests_ok"),
        ),
    ),
    Panel(
        "kv_cache_usage",
        "KV cache in use",
        "engine",
        "ratio",
        "max",
        "Share of the KV cache's blocks that hold something. At 100 % requests wait or are "
        "preempted.",
        (Part("kv_cache_usage"),),
    ),
    Panel(
        "batch",
        "Batch",
        "engine",
        "count",
        "mean",
        "Mean over the rate window of what one step computes: tokens where an engine batches "
        "continuously (all of them, prompts' too, or output tokens, as the engine counts), whole "
        "requests where it batches requests.",
        (
            Part("batch_size", "requests a batch"),
            Part("iteration_tokens", "all tokens a step"),
            Part("output_tokens", "output tokens a step", over="steps"),
            Part("classify_inferences", "texts a batch", over="classify_executions"),
        ),
    ),
    Panel(
        "e2e",
        "E2E in the engine",
        "engine",
        "s",
        "quantile",
        "From a request's arrival in the engine to the end of its answer.",
        (Part("e2e", over="requests_ok"), Part("classify_e2e_quantiles", "classify")),
    ),
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
    Panel(
        "memory",
        "Memory",
        "process",
        "bytes",
        "sum",
        "Memory of all processes of the instance (PSS: pages they share are counted once). On a "
        "machine without a GPU weights and KV cache are in it. Beside it what they hold on GPUs.",
        (Part("memory"), Part("gpu_memory", "on GPUs")),
    ),
    Panel(
        "cpu",
        "CPU",
        "process",
        "cores",
        "rate",
        "CPU cores that all processes of the instance keep busy.",
        (Part("cpu"),),
    ),
    *GPU_PANELS,
)


def group(name: Group) -> tuple[Panel, ...]:
    """The panels of one group, in their order on the page."""
    return tuple(panel for panel in PANELS if panel.group == name)


def panel(key: str) -> Panel:
    """The panel of that key. Raises `KeyError` for one that is not in the catalogue."""
    found = next((panel for panel in PANELS if panel.key == key), None)
    if found is None:
        raise KeyError(f"no panel is called {key!r}")
    return found
