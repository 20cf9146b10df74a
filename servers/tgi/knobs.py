"""What can be set on TGI, by TGI's own names, as data.

Lengths default to what suits a small machine, the rest to TGI's own defaults. A knob that is not
set is left to TGI, which fits it to the GPU it finds.
"""

from servers.contract import Knob

_MOST_TOKENS = 10_000_000

KNOBS = (
    Knob(
        name="max_concurrent_requests",
        flag="--max-concurrent-requests",
        kind="int",
        default=128,
        minimum=1,
        maximum=100_000,
        unit="requests",
        trades="Requests taken at a time, waiting ones included; the next is refused (HTTP 429, "
        "or an error frame in a stream). Higher: fewer refusals, and a longer queue, which is "
        "TTFT.",
    ),
    Knob(
        name="max_batch_size",
        flag="--max-batch-size",
        kind="int",
        default=None,
        minimum=1,
        maximum=4096,
        unit="requests",
        trades="Requests computed together in one step; if not set, tokens alone bound the batch. "
        "Higher: more tokens a second and a shorter queue; each step, and so ITL, gets longer.",
    ),
    Knob(
        name="max_batch_total_tokens",
        flag="--max-batch-total-tokens",
        kind="int",
        default=None,
        minimum=2,
        maximum=_MOST_TOKENS,
        unit="tokens",
        trades="Prompts and longest possible answers of the batch together: its KV cache. Higher: "
        "more requests at once; more memory. If not set, TGI takes what its GPU has room for, and "
        "the TGI-compatible server 16384.",
    ),
    Knob(
        name="max_batch_prefill_tokens",
        flag="--max-batch-prefill-tokens",
        kind="int",
        default=2048,
        minimum=1,
        maximum=_MOST_TOKENS,
        unit="tokens",
        trades="Prompt tokens, padded to the longest, computed in one prefill. Higher: waiting "
        "requests get their first token together and sooner; running answers stand still longer "
        "for it. It must hold the longest prompt.",
    ),
    Knob(
        name="waiting_served_ratio",
        flag="--waiting-served-ratio",
        kind="float",
        default=0.3,
        minimum=0,
        maximum=100,
        unit="waiting/running",
        trades="Running answers are interrupted for a prefill when this many requests wait for "
        "each that runs. Higher: ITL stays even, TTFT grows. TGI itself passes over it for models "
        "whose prompts it computes in pieces.",
    ),
    Knob(
        name="max_waiting_tokens",
        flag="--max-waiting-tokens",
        kind="int",
        default=20,
        minimum=0,
        maximum=100_000,
        unit="steps",
        trades="After this many steps without a newcomer, those who wait come in however few they "
        "are. Higher: fewer interruptions; a lone newcomer waits longer. TGI itself passes over "
        "it for models whose prompts it computes in pieces.",
    ),
    Knob(
        name="max_input_tokens",
        flag="--max-input-tokens",
        kind="int",
        default=1024,
        minimum=1,
        maximum=_MOST_TOKENS,
        unit="tokens",
        trades="Longest prompt; a longer one is refused (HTTP 422). Higher: longer prompts, whose "
        "prefill everybody else waits for.",
    ),
    Knob(
        name="max_total_tokens",
        flag="--max-total-tokens",
        kind="int",
        default=2048,
        minimum=2,
        maximum=_MOST_TOKENS,
        unit="tokens",
        trades="Longest prompt and answer together. Higher: longer conversations; a request that "
        "names no length may then hold more of the batch's tokens.",
    ),
    Knob(
        name="dtype",
        flag="--dtype",
        kind="str",
        default=None,
        choices=("bfloat16", "float16", "float32"),
        trades="Number format of weights and KV cache; if not set, the model's own, or without a "
        "GPU the fastest here. float32, which only the TGI-compatible server has, is exact to "
        "compare with and takes twice the memory.",
    ),
    Knob(
        name="cuda_memory_fraction",
        flag="--cuda-memory-fraction",
        kind="float",
        default=None,
        minimum=0.05,
        maximum=1.0,
        unit="of the GPU",
        trades="GPU and TGI itself only: the part of its memory that may be used. Higher: more "
        "requests at once, and nothing left for another engine on the same GPU.",
    ),
)

NO_KNOB = {
    "max_num_seqs": "max_batch_size says it: requests computed in one step.",
    "max_num_batched_tokens": "Two knobs have its part: max_batch_prefill_tokens for the "
    "prompts of a step, max_batch_total_tokens for all that the batch holds.",
    "max_model_len": "max_total_tokens says it: prompt and answer of one request together.",
    "max_queue_delay_us": "Nobody waits for a time: waiting_served_ratio and "
    "max_waiting_tokens say when the waiting join the batch.",
    "max_queue_size": "max_concurrent_requests limits what runs and what waits together.",
    "gpu_memory_utilization": "cuda_memory_fraction says it.",
    "kv_cache_gib": "max_batch_total_tokens says it, in tokens.",
    "instances": "One instance holds one server: start another with --name.",
}
"""Ideas that others have a knob for and this engine has not, each with why."""
