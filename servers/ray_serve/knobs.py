"""What can be set on a Ray Serve instance, as data. The flags are Ray Serve's own words."""

from servers.contract import Knob

KNOBS = (
    Knob(
        name="max_batch_size",
        flag="serve.batch.max_batch_size",
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
        flag="serve.batch.batch_wait_timeout_s",
        kind="int",
        default=5_000,
        minimum=0,
        maximum=10_000_000,
        unit="us",
        trades="How long a batch waits for more. Higher: fuller batches at medium load; every "
        "lone request waits this long.",
    ),
    Knob(
        name="instances",
        flag="num_replicas",
        kind="int",
        default=1,
        minimum=1,
        maximum=64,
        unit="replicas",
        trades="Replicas of the classifier (of each variant, in a pipeline), the fewest if it "
        "scales by itself. Higher: batches run side by side; more memory, smaller batches, "
        "shared cores.",
    ),
    Knob(
        name="threads",
        flag="classifier.threads",
        kind="int",
        default=1,
        minimum=1,
        maximum=256,
        unit="threads",
        trades="Threads of each replica's onnxruntime. Higher: one batch is faster, until "
        "replicas fight over the cores.",
    ),
    Knob(
        name="max_queue_size",
        flag="max_queued_requests",
        kind="int",
        default=1000,
        minimum=1,
        maximum=1_000_000,
        unit="requests",
        trades="Requests that may wait for a place in a replica (it holds two batches); more are "
        "refused with HTTP 503. Higher: a burst is kept and answered late instead of refused.",
    ),
    Knob(
        name="autoscale",
        flag="autoscaling_config",
        kind="bool",
        default=False,
        trades="On: replicas come and go with the load, between instances and max_instances. A "
        "new one takes seconds to come, and one core more than the machine has helps nobody.",
    ),
    Knob(
        name="max_instances",
        flag="autoscaling_config.max_replicas",
        kind="int",
        default=2,
        minimum=1,
        maximum=64,
        unit="replicas",
        trades="The most replicas while it scales by itself.",
    ),
    Knob(
        name="target_ongoing_requests",
        flag="autoscaling_config.target_ongoing_requests",
        kind="float",
        default=16.0,
        minimum=0.1,
        maximum=1024,
        unit="requests",
        trades="Requests in a replica that autoscaling aims at. Lower: it scales sooner and has "
        "smaller batches.",
    ),
    Knob(
        name="pipeline",
        flag="Router",
        kind="bool",
        default=False,
        trades="On: a router tokenizes and asks one of two classifiers, A or B, each with its own "
        "replicas; the answer names which. It costs a hop between processes and their memory.",
    ),
    Knob(
        name="ab_share",
        flag="Router.share_b",
        kind="float",
        default=0.0,
        minimum=0.0,
        maximum=1.0,
        unit="of the requests",
        trades="In a pipeline, the share of requests that B answers. B is the same model that "
        "reads only the first b_tokens tokens: sooner done, and less often right.",
    ),
    Knob(
        name="b_tokens",
        flag="ClassifierB.cut",
        kind="int",
        default=16,
        minimum=2,
        maximum=256,
        unit="tokens",
        trades="In a pipeline, how much of a text B reads. Lower: faster, and more often wrong.",
    ),
)

NO_KNOB = {
    "max_num_seqs": "It serves a classifier here: a batch is whole requests, and "
    "max_batch_size limits it.",
}
"""Ideas that others have a knob for and this engine has not, each with why."""
