"""What can be set on a Triton instance, as data.

The flag of a knob is where its value ends up: a field of a model's `config.pbtxt`. `llm.` and
`text_classifier.` say whose. In NVIDIA's image the language model's become vLLM's engine
arguments (`max_output_tokens` and `llm_threads` have none there), and `threads` is ONNX Runtime's
`intra_op_thread_count`.
"""

from servers.contract import Knob

KNOBS = (
    Knob(
        name="models",
        flag="--model-repository",
        kind="str",
        default="both",
        choices=("both", "llm", "text_classifier"),
        trades="Which models are loaded: the language model costs seconds at start and memory.",
    ),
    Knob(
        name="dynamic_batching",
        flag="text_classifier.dynamic_batching",
        kind="bool",
        default=True,
        trades="On, requests that wait together are computed together: more throughput under "
        "load, and the queue delay for a request that is alone.",
    ),
    Knob(
        name="preferred_batch_sizes",
        flag="text_classifier.dynamic_batching.preferred_batch_size",
        kind="ints",
        default=(8, 16, 32),
        minimum=1,
        maximum=1024,
        trades="A batch of such a size leaves at once; any other waits for the queue delay.",
    ),
    Knob(
        name="max_queue_delay_us",
        flag="text_classifier.dynamic_batching.max_queue_delay_microseconds",
        kind="int",
        default=5_000,
        minimum=0,
        maximum=10_000_000,
        unit="us",
        trades="Higher: fuller batches at medium load; every lone request waits this long.",
    ),
    Knob(
        name="allow_ragged_batch",
        flag="text_classifier.input.allow_ragged_batch",
        kind="bool",
        default=True,
        trades="On, texts of different lengths share a batch, padded to the longest: fuller "
        "batches, work done on padding. Off, only texts of equal length are joined.",
    ),
    Knob(
        name="max_batch_size",
        flag="text_classifier.max_batch_size",
        kind="int",
        default=64,
        minimum=1,
        maximum=1024,
        trades="Higher: more throughput under heavy load, longer computation for each batch.",
    ),
    Knob(
        name="instances",
        flag="text_classifier.instance_group.count",
        kind="int",
        default=2,
        minimum=1,
        maximum=64,
        trades="Higher: batches run side by side; more memory, smaller batches, shared cores.",
    ),
    Knob(
        name="threads",
        flag="text_classifier.parameters.threads",
        kind="int",
        default=1,
        minimum=1,
        maximum=256,
        trades="Threads of each classifier instance. Higher: one batch is faster, until "
        "instances fight over the cores.",
    ),
    Knob(
        name="max_num_seqs",
        flag="llm.parameters.max_num_seqs",
        kind="int",
        default=16,
        minimum=1,
        maximum=256,
        trades="Higher: more sequences decode together (tokens/s) and fewer wait (TTFT); each "
        "step is slower (ITL) and the KV cache grows.",
    ),
    Knob(
        name="max_num_batched_tokens",
        flag="llm.parameters.max_num_batched_tokens",
        kind="int",
        default=2_048,
        minimum=1,
        maximum=131_072,
        unit="tokens",
        trades="Prompt tokens computed between two decode steps. Higher: shorter TTFT in a "
        "burst, longer pauses for those already streaming.",
    ),
    Knob(
        name="max_model_len",
        flag="llm.parameters.max_model_len",
        kind="int",
        default=2_048,
        minimum=16,
        maximum=131_072,
        unit="tokens",
        trades="Longest prompt plus answer. Higher: longer texts, more KV memory a sequence.",
    ),
    Knob(
        name="max_output_tokens",
        flag="llm.parameters.max_output_tokens",
        kind="int",
        default=1_024,
        minimum=1,
        maximum=131_072,
        unit="tokens",
        trades="The most one request may ask for. Lower: one request cannot hold a slot long.",
    ),
    Knob(
        name="dtype",
        flag="llm.parameters.dtype",
        kind="str",
        default="auto",
        choices=("auto", "float32", "bfloat16"),
        trades="bfloat16 halves the memory, and is faster where the hardware multiplies it "
        "(auto looks); in float32 an answer does not depend on what else is in its batch.",
    ),
    Knob(
        name="llm_threads",
        flag="llm.parameters.llm_threads",
        kind="int",
        default=0,
        minimum=0,
        maximum=256,
        trades="CPU threads of the language model; 0 takes every core this process may use.",
    ),
    Knob(
        name="gpu_memory_utilization",
        flag="llm.model.json.gpu_memory_utilization",
        kind="float",
        default=None,
        minimum=0.05,
        maximum=1.0,
        trades="Of vLLM in NVIDIA's image only: the part of the GPU's memory it may take (left "
        "out: its own default). Higher: more KV cache; less for others on that GPU.",
    ),
)

NO_KNOB = {
    "max_queue_size": "Triton can limit its queue (default_queue_policy of dynamic batching); "
    "the lab leaves it without a limit.",
    "kv_cache_gib": "The cache of the lab's batcher is max_num_seqs rows of max_model_len tokens.",
}
"""Ideas that others have a knob for and this engine has not, each with why."""
