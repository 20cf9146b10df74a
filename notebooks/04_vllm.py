# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · vLLM: paged KV cache, continuous batching
#
# **Goal:** read KV use, preemption and prefix-cache hits off a running vLLM; compute the KV bytes
# of a token and how many requests a budget of memory holds at once.
#
# **Minutes:** 25 to read and think. The machine needs about 90 seconds of them on two CPU cores.
#
# To write its next word a language model looks back at every word before it. What it needs of them,
# a *key* and a *value* in every layer, is kept and not computed again: the **KV cache**. vLLM cuts
# it into *blocks* (pages) of a fixed number of tokens. A request gets a block when it needs one, so
# nothing is set aside for words that are never written.

# %%
import json
from pathlib import Path

from notebooks import checks_paged, kit, paged

# %% [markdown]
# ## Predict
#
# The model is SmolLM2-135M: 30 layers, each with 3 key-value heads of 64 numbers, 2 bytes a number.
# The cache gets 0.066 GiB, a block holds 128 tokens. Write down:
#
# 1. How many bytes does one token take? How many blocks does the budget make?
# 2. Every request has about 150 tokens in the end. How many of them fit at once?
# 3. Eight users in place of one: how many times the tokens a second? What happens to ITL?
# 4. Twenty users, more than fit. Do some requests fail? Do they wait? Something else?
# 5. Four users whose prompts have the same long beginning: what becomes of TTFT?

# %% [markdown]
# ## Run
#
# First the arithmetic, from the model's own configuration. A token keeps a key and a value (2) in
# each layer, for each key-value head, of so many numbers, of 2 bytes.

# %%
vllm = kit.up("vllm", kv_cache_gib=0.066, max_model_len=512, max_num_seqs=24)

# %%
model = json.loads(Path(vllm.model, "config.json").read_text())
heads, size = model["num_key_value_heads"], model["head_dim"]
token_bytes = 2 * model["num_hidden_layers"] * heads * size * 2
planned = paged.of_budget(0.066 * 2**30, token_bytes, block_tokens=128)
print(f"A token takes {token_bytes:,} bytes, a block {128 * token_bytes / 2**20:.2f} MiB.")
print(f"The budget makes {planned.blocks} blocks. vLLM keeps one for itself, so")
print(f"{planned.usable} are for requests: {planned.tokens:,} tokens.")
for tokens in (150, 512):
    print(f"They hold {planned.requests_of(tokens)} whole requests of {tokens} tokens at once.")

# %% [markdown]
# The block that vLLM keeps is a place to point to where a request has no block. And what the engine
# says of itself: the first line from its `/metrics`, the second from its log. Both count that block
# too, so the log's *maximum concurrency* is a little higher than what fits.

# %%
cache = paged.reported(vllm)
print(f"vLLM has {cache.blocks} blocks of {cache.block_tokens} tokens.")
print("Its log:", paged.said_at_start(vllm))

# %% [markdown]
# Now load. One user, then eight, then twenty: prompts of about 100 tokens, answers of exactly 48.
# The lone user asks for longer than the others, or there would be one answer to judge by.

# %%
one = kit.load(vllm, users=1, seconds=10, warmup=1, prompt_tokens=100, tokens=48)

# %%
eight = kit.load(vllm, users=8, seconds=6, warmup=2, prompt_tokens=100, tokens=48)

# %%
twenty = kit.load(vllm, users=20, seconds=8, warmup=2, prompt_tokens=100, tokens=48)

# %% [markdown]
# At last the prefix cache: prompts of about 320 tokens, all different; then as long, but with the
# same first 288.

# %%
different = kit.load(vllm, users=2, seconds=4, warmup=1, prompt_tokens=320, tokens=8)

# %%
same = kit.load(vllm, users=2, seconds=4, warmup=1, prompt_tokens=32, shared_tokens=288, tokens=8)

# %% [markdown]
# ## Look
#
# How full the cache was, as Prometheus saw it once a second: the share of the blocks that requests
# may have.

# %%
users = {"1 user": one, "8 users": eight, "20 users": twenty}
kit.show(
    paged.kv_over_time(users),
    "Share of the KV cache's blocks in use over time, with one, eight and twenty users",
)

# %%
paged.table({**users, "different prompts": different, "same beginning": same})

# %% [markdown]
# *Tokens a step* is how many tokens, of prompts and answers, one pass through the model computed on
# average. *Prefix hits* is the share of prompt tokens that were found in the cache.

# %% [markdown]
# ## Explain
#
# ### Continuous batching
#
# A *step* gives every running request one token more. A request joins the batch at the next step
# and leaves it when its answer is complete; nobody waits for a batch to fill up or to end. The
# weights are read once a step, whoever is in it. So tokens a second grow with the batch as long as
# the step does not get as much slower.

# %%
few, lone, many = paged.use(eight), paged.use(one), paged.use(twenty)
slower = eight.summary["itl_s"]["p50"] / one.summary["itl_s"]["p50"]
print(f"8 users: {few.tokens_per_s / lone.tokens_per_s:.1f} times the tokens a second of one,")
print(f"and the median ITL is {slower:.1f} times as long.")

# %% [markdown]
# On a GPU the second factor stays near 1 much longer: reading the weights takes nearly all of a
# step there. A CPU runs out of arithmetic first.
#
# ### When the cache is full
#
# A request is let in when there are blocks for its prompt. Its answer then grows, and needs further
# blocks. If there is none, vLLM *preempts*: it throws out the request that came last, gives its
# blocks to the others and computes it anew later, prompt and words already written. No request
# fails, and nothing in the answers shows it. (The knob `num_gpu_blocks_override` sets the number of
# blocks directly, to watch this at any budget.)

# %%
print(f"20 users: at most {many.running:.0f} running and {many.waiting:.0f} waiting,")
print(f"{many.kv_peak:.0%} of the cache in use, {many.preemptions:.0f} preemptions,")
print(f"{twenty.summary['requests']['failed']} requests failed.")
print(f"Tokens a second: {many.tokens_per_s / few.tokens_per_s:.2f} times those of 8 users.")

# %% [markdown]
# More may run at once than fit whole. The sum above was of whole requests, prompt and answer. To be
# let in, a request needs blocks for its prompt only: one for a prompt of 100 tokens, where the
# whole request takes two. vLLM bets that some end before the others grow; preemptions are the bets
# it lost.

# %% [markdown]
# Watch three numbers in production. `kv_cache_usage_perc` near 1 says that memory limits the batch.
# `num_requests_waiting` says that users feel it, as TTFT. `num_preemptions` that grows says that
# work is done twice: then fewer sequences at once (`max_num_seqs`), a bigger cache, or an 8-bit one
# (`kv_cache_dtype=fp8`) is better. Note what the gauges cannot show: they are looked at once a
# second, and a peak between two looks is not seen. The counters miss nothing.
#
# ### A beginning computed once
#
# A full block whose tokens were seen before, from the first one on, is taken from the cache as it
# is. Only whole blocks count, so a shared beginning shorter than a block saves nothing, and one
# different word at the start spoils all that follow.

# %%
fresh, shared = different.summary["ttft_s"]["p50"], same.summary["ttft_s"]["p50"]
print(f"Prefix hits: {paged.use(different).hit_rate:.0%} and {paged.use(same).hit_rate:.0%}.")
print(f"Median TTFT: {fresh * 1e3:.0f} ms and {shared * 1e3:.0f} ms.")

# %% [markdown]
# A load test that sends one prompt again and again measures the second number and calls it the
# first. That is why the lab's prompts differ from the first word on unless you ask otherwise.
#
# What this notebook cannot say: how a GPU does (blocks of 16 tokens, gigabytes of cache, the same
# arithmetic), or a big model. For those, do the sum with their `config.json`.

# %% [markdown]
# ## Exercise
#
# - `places`: how many requests as long as the longest of the run with twenty users (prompt and
#   answer, `paged.longest(twenty)` tokens) this cache holds whole at once;
# - `needed_gib`: the `kv_cache_gib` with which 32 requests of 1,000 tokens fit whole at once, on
#   this model and with these blocks, vLLM's own among them.

# %%
### BEGIN SOLUTION
places = (cache.blocks - 1) // -(-paged.longest(twenty) // cache.block_tokens)
needed_blocks = 32 * -(-1000 // cache.block_tokens) + 1
needed_gib = needed_blocks * cache.block_tokens * token_bytes / 2**30
### END SOLUTION
print(checks_paged.places(cache, twenty, answer=places).require())
sizes = {"bytes_per_token": token_bytes, "block_tokens": cache.block_tokens}
checks_paged.budget(**sizes, length=1000, requests=32, answer_gib=needed_gib).require()

# %% [markdown]
# ## Summary
#
# - KV bytes of a token = 2 × layers × KV heads × head size × bytes of a number. Budget over that,
#   in whole blocks less vLLM's own one, is how many tokens, and so how many whole requests, fit.
# - Continuous batching: requests join and leave at every step. Throughput grows with the batch, ITL
#   pays for it.
# - A full cache makes requests wait and preempts some; none fails. Read use, waiting and
#   preemptions together.
#
# The last cell stops what this notebook started.

# %%
kit.down()
