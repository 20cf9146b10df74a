"""What can be set on a TorchServe instance, as data. The flags are keys of its configuration."""

from servers.contract import Knob

KNOBS = (
    Knob(
        name="max_batch_size",
        flag="batchSize",
        kind="int",
        default=64,
        minimum=1,
        maximum=1024,
        unit="requests",
        trades="Requests computed together at most. Higher: more throughput under heavy load, "
        "longer computation for each batch.",
    ),
    Knob(
        name="max_queue_delay_us",
        flag="maxBatchDelay",
        kind="int",
        default=5_000,
        minimum=0,
        maximum=10_000_000,
        unit="us",
        trades="How long a worker waits for its batch to fill. Higher: fuller batches at medium "
        "load; every lone request waits this long. TorchServe counts in milliseconds: a part of "
        "one is rounded up.",
    ),
    Knob(
        name="instances",
        flag="minWorkers",
        kind="int",
        default=1,
        minimum=1,
        maximum=64,
        unit="workers",
        trades="Worker processes, each with the model and a torch it does not use. Higher: "
        "batches run side by side; more memory, smaller batches, shared cores.",
    ),
    Knob(
        name="threads",
        flag="handler.threads",
        kind="int",
        default=1,
        minimum=1,
        maximum=256,
        unit="threads",
        trades="Threads of each worker's onnxruntime. Higher: one batch is faster, until workers "
        "fight over the cores.",
    ),
    Knob(
        name="max_queue_size",
        flag="jobQueueSize",
        kind="int",
        default=1000,
        minimum=1,
        maximum=1_000_000,
        unit="requests",
        trades="Requests that may wait; more are refused with HTTP 503. Higher: a burst is kept "
        "and answered late instead of refused. (TorchServe's own default is 100.)",
    ),
    Knob(
        name="heap_mib",
        flag="-Xmx",
        kind="int",
        default=512,
        minimum=64,
        maximum=65_536,
        unit="MiB",
        trades="Largest Java heap of the server in front of the workers. Too low: it spends its "
        "time collecting garbage, or ends.",
    ),
)

NO_KNOB = {
    "max_num_seqs": "It serves a classifier here: a batch is whole requests, and "
    "max_batch_size limits it.",
}
"""Ideas that others have a knob for and this engine has not, each with why."""
