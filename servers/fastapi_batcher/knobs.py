"""What can be set on the FastAPI batcher, as data. The flags are those of its own program."""

from servers.contract import Knob

KNOBS = (
    Knob(
        name="batcher",
        flag="--batcher",
        kind="str",
        default="deadline",
        choices=("deadline", "polling"),
        trades="deadline: a batch leaves when it is full or its oldest request is due. polling: "
        "the naive form of many guides, on a fixed tick, kept as a counter-example.",
    ),
    Knob(
        name="max_batch_size",
        flag="--max-batch-size",
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
        flag="--max-queue-delay-us",
        kind="int",
        default=5_000,
        minimum=0,
        maximum=10_000_000,
        unit="us",
        trades="How long the oldest request waits for others. Higher: fuller batches at medium "
        "load; every lone request waits this long. Timers of the event loop tick in milliseconds: "
        "a part of one is rounded up. Not used by polling.",
    ),
    Knob(
        name="poll_interval_us",
        flag="--poll-interval-us",
        kind="int",
        default=10_000,
        minimum=0,
        maximum=10_000_000,
        unit="us",
        trades="polling only: the pause between two looks at the queue. Lower: shorter waits, "
        "smaller batches, more CPU time for looking.",
    ),
    Knob(
        name="max_queue_size",
        flag="--max-queue-size",
        kind="int",
        default=256,
        minimum=1,
        maximum=1_000_000,
        unit="requests",
        trades="Requests that may wait; more are refused with HTTP 429. Higher: a burst is kept "
        "and answered late instead of refused. Not used by polling, whose queue has no bound.",
    ),
    Knob(
        name="instances",
        flag="--instances",
        kind="int",
        default=1,
        minimum=1,
        maximum=64,
        unit="sessions",
        trades="Sessions of the model, each in its own thread. Higher: batches run side by side; "
        "more memory, smaller batches, shared cores. polling uses one.",
    ),
    Knob(
        name="threads",
        flag="--threads",
        kind="int",
        default=1,
        minimum=1,
        maximum=256,
        unit="threads",
        trades="Threads of each session. Higher: one batch is faster, until sessions fight over "
        "the cores.",
    ),
)

NO_KNOB = {
    "max_num_seqs": "It serves a classifier here: a batch is whole requests, and "
    "max_batch_size limits it.",
}
"""Ideas that others have a knob for and this engine has not, each with why."""
