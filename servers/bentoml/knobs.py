"""What can be set on a BentoML instance, as data.

There is no `max_queue_delay_us`, because BentoML has no such thing. How long a batch waits to fill
it chooses itself, from the waits and computing times it has seen; `max_latency_ms` is no delay
but a limit, beyond which requests are given up.
"""

from servers.contract import Knob

KNOBS = (
    Knob(
        name="max_batch_size",
        flag="@bentoml.api(max_batch_size)",
        kind="int",
        default=64,
        minimum=1,
        maximum=1024,
        unit="requests",
        trades="Requests computed together at most. Higher: more throughput under heavy load, "
        "longer computation for each batch. 1 turns batching off.",
    ),
    Knob(
        name="max_latency_ms",
        flag="@bentoml.api(max_latency_ms)",
        kind="int",
        default=60_000,
        minimum=1,
        maximum=600_000,
        unit="ms",
        trades="A request that waits among others and would take longer is answered HTTP 503. No "
        "delay: how long a batch waits to fill, BentoML chooses itself. Lower: under overload some "
        "are refused early and the others stay fast; below what a batch takes, most are refused.",
    ),
    Knob(
        name="instances",
        flag="@bentoml.service(workers)",
        kind="int",
        default=1,
        minimum=1,
        maximum=64,
        unit="workers",
        trades="Worker processes, each with the model and batches of its own. Higher: batches run "
        "side by side; more memory, smaller batches, shared cores.",
    ),
    Knob(
        name="threads",
        flag="onnxruntime intra_op_num_threads",
        kind="int",
        default=1,
        minimum=1,
        maximum=256,
        unit="threads",
        trades="Threads of each worker's onnxruntime. Higher: one batch is faster, until workers "
        "fight over the cores.",
    ),
)

NO_KNOB = {
    "max_queue_delay_us": "How long a batch waits BentoML chooses by itself, from the waits "
    "and computing times it has seen. max_latency_ms is a limit and no delay.",
    "max_queue_size": "What would wait longer than max_latency_ms is refused instead.",
    "max_num_seqs": "It serves a classifier here: a batch is whole requests, and "
    "max_batch_size limits it.",
}
"""Ideas that others have a knob for and this engine has not, each with why."""
