"""What can be set on a vLLM instance, as data.

The defaults suit one person's machine without a GPU: little memory, a quick start. They are not
vLLM's own, which are made for a data-centre GPU.
"""

from servers.contract import Knob

KNOBS = (
    Knob(
        name="max_num_seqs",
        flag="--max-num-seqs",
        kind="int",
        default=16,
        minimum=1,
        maximum=4096,
        unit="sequences",
        trades="Requests computed together in one step. Higher: more tokens a second and a "
        "shorter queue; each step, and so ITL, gets longer and the KV cache fills sooner.",
    ),
    Knob(
        name="max_num_batched_tokens",
        flag="--max-num-batched-tokens",
        kind="int",
        default=2048,
        minimum=16,
        maximum=1_048_576,
        unit="tokens",
        trades="Tokens (prompt and output) computed in one step. Higher: prompts are through "
        "sooner, TTFT falls under load; running answers wait longer for that step, ITL rises.",
    ),
    Knob(
        name="kv_cache_gib",
        flag="--kv-cache-memory-bytes",
        kind="float",
        default=1.0,
        minimum=0.01,
        maximum=1024,
        unit="GiB",
        trades="Memory set aside for keys and values. Higher: more and longer requests at once "
        "without preemption, a bigger prefix cache; less memory for everything else.",
    ),
    Knob(
        name="gpu_memory_utilization",
        flag="--gpu-memory-utilization",
        kind="float",
        default=None,
        minimum=0.05,
        maximum=0.98,
        unit="of the GPU",
        trades="GPU only; if set, it takes the place of kv_cache_gib: weights, activations and "
        "KV cache share this part of the GPU. Higher: more requests at once, and nothing left "
        "for another engine on the same GPU.",
    ),
    Knob(
        name="kv_cache_dtype",
        flag="--kv-cache-dtype",
        kind="str",
        default="auto",
        choices=("auto", "fp8", "fp8_e4m3", "fp8_e5m2"),
        trades="Number format of keys and values in the cache; auto is dtype's. An 8-bit format "
        "holds twice as many tokens in the same memory and answers change a little.",
    ),
    Knob(
        name="tensor_parallel_size",
        flag="--tensor-parallel-size",
        kind="int",
        default=1,
        minimum=1,
        maximum=64,
        unit="GPUs",
        trades="GPU only: each layer is split over so many. Higher: bigger models fit and a step "
        "is shorter; after every layer all wait for each other.",
    ),
    Knob(
        name="max_model_len",
        flag="--max-model-len",
        kind="int",
        default=2048,
        minimum=16,
        maximum=1_048_576,
        unit="tokens",
        trades="Longest prompt and answer together. Higher: longer conversations; one request "
        "may then hold more of the KV cache, and the cache must have room for at least one.",
    ),
    Knob(
        name="chunked_prefill",
        flag="--enable-chunked-prefill",
        kind="bool",
        default=True,
        trades="On: a long prompt is computed in pieces between the steps of running answers, so "
        "ITL stays even and the prompt's own TTFT gets longer. Off: max_num_batched_tokens must "
        "hold a whole prompt.",
    ),
    Knob(
        name="prefix_caching",
        flag="--enable-prefix-caching",
        kind="bool",
        default=True,
        trades="On: a beginning that was computed before is not computed again, TTFT falls for "
        "shared prompts. It costs hashing, and hides the price of a prompt when the same one is "
        "sent again and again.",
    ),
    Knob(
        name="num_gpu_blocks_override",
        flag="--num-gpu-blocks-override",
        kind="int",
        default=None,
        minimum=1,
        maximum=10_000_000,
        unit="blocks",
        trades="KV blocks in use whatever the memory (a block holds 128 tokens on a CPU, 16 on a "
        "GPU). Lower: preemption can be watched at little load. A request of max_model_len must "
        "still fit.",
    ),
    Knob(
        name="enforce_eager",
        flag="--enforce-eager",
        kind="bool",
        default=True,
        trades="On: ready sooner. Off: the model is compiled at the start (a minute or more "
        "without a GPU, the first time), and steps get faster.",
    ),
    Knob(
        name="dtype",
        flag="--dtype",
        kind="str",
        default="bfloat16",
        choices=("auto", "bfloat16", "float16", "float32"),
        trades="Number format of weights and KV cache. float32 is exact to compare with and takes "
        "twice the memory of the 16-bit formats.",
    ),
    Knob(
        name="stream_interval",
        flag="--stream-interval",
        kind="int",
        default=1,
        minimum=1,
        maximum=1024,
        unit="tokens",
        trades="Tokens gathered before a chunk is sent. Higher: less work for server and client; "
        "text arrives in jumps, and the time between chunks is no longer the time between tokens.",
    ),
    Knob(
        name="speculative_ngram_tokens",
        flag="--speculative-config",
        kind="int",
        default=None,
        minimum=1,
        maximum=32,
        unit="tokens",
        trades="Speculative decoding without a second model: the tokens that followed the same "
        "last few words earlier in prompt or answer are guessed, and one step checks them all. "
        "Higher: more tokens a step where text repeats itself; wasted work where it does not.",
    ),
)

NO_KNOB = {
    "max_batch_size": "A batch is whatever runs in this step: max_num_seqs limits it.",
    "max_queue_delay_us": "Nobody waits for a batch to fill: a request joins at the next step.",
    "max_queue_size": "What does not run waits, however much it is: the lab sets no limit.",
    "instances": "One instance holds one engine: start another with --name.",
    "threads": "vLLM takes the cores that it finds.",
}
"""Ideas that others have a knob for and this engine has not, each with why."""
