"""The panels of an engine, from the metrics of its catalogue (`servers/<engine>/metrics.py`)."""

from dashboard.panels.types import Panel, Part

ENGINE_PANELS = (
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
)
