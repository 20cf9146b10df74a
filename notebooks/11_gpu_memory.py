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
# # 11 · GPU memory
#
# **Goal:** compute what weights and KV cache take and how many requests a GPU holds at once; say
# before they start whether two engines fit on one box; hold the forecast against what was measured.
#
# **Minutes:** 20 to read and think. The machine needs about 80 seconds of them on two CPU cores.
#
# Memory decides what can be served at all, and how many at once. It goes to four things: the
# **weights**, the **KV cache** (keys and values of every token that is still being looked back at),
# **activations** (what one step computes with), and the program itself. This notebook measures them
# on real engines. Without a GPU they lie in the memory of the processes, and the same sums hold.

# %%
import math

from dashboard.memory import figures, tables
from notebooks import checks_memory, gpu_memory, kit
from servers.memory import GIB

# %% [markdown]
# ## Predict
#
# 1. Llama 3.1 8B has 8 billion parameters of 2 bytes each. How many GB are the weights? It has 32
#    layers, 8 key-value heads, 128 numbers a head: how many bytes does one token keep?
# 2. A GPU of 80 GiB, of which the engine may take 90%. How many requests of 4,000 tokens fit at
#    once? And with Llama 2 7B, which has 32 key-value heads in place of 8?
# 3. vLLM gets a KV cache of 0.25 GiB. You put eight users on it. Does it take more memory then?
# 4. Triton with the lab's batcher gets room for eight sequences. Does it take more under load?
# 5. Both on one box: is what they take the sum of the two?

# %% [markdown]
# ## Run
#
# First the sums, for models you know and the one that is served here. *Other* is the engine itself,
# CUDA and activations; 2 GiB is a guess that you should replace by a measurement.

# %%
known = [gpu_memory.LLAMA_2_7B, gpu_memory.LLAMA_3_8B, gpu_memory.LLAMA_3_70B]
gpu_memory.concurrency(known, 80, share=0.9, other_gib=2, length=4000)

# %% [markdown]
# Four times fewer key-value heads make a token four times smaller: grouped-query attention is a
# memory saver first of all. The biggest model does not fit on one such GPU: its weights alone are
# larger.
#
# Now the engines. What each will take was computed before it started (`lab plan` prints the same),
# and is kept with it.

# %%
vllm = kit.up("vllm", kv_cache_gib=0.25, max_model_len=1024, max_num_seqs=16)

# %%
triton = kit.up("triton", models="llm", max_num_seqs=8, max_model_len=1024)

# %%
gpu_memory.forecast(vllm, triton)

# %% [markdown]
# *Up to* stands where requests fill a part as they come. vLLM sets its cache aside at the start;
# the lab's batcher in Triton has a row for each sequence, which costs nothing until it is written.
#
# Then load, one after the other, while both are there: co-located, as on one GPU.

# %%
on_vllm = kit.load(vllm, users=8, seconds=8, warmup=2, prompt_tokens=200, tokens=24)

# %%
on_triton = kit.load(triton, users=4, seconds=8, warmup=2, prompt_tokens=200, tokens=12)

# %% [markdown]
# ## Look
#
# What vLLM held over its run, in layers, by the series that the run carries with it. The
# dashboard's page Memory draws the same figure.

# %%
first, second = gpu_memory.of_run(on_vllm), gpu_memory.of_run(on_triton)
kit.show(
    figures.over_time(first, dark=False),
    "vLLM's memory over the run: weights, KV cache in use and not, other, and the forecast",
)

# %%
kit.show(
    figures.over_time(second, dark=False),
    "Triton's memory over the run: weights, KV cache and other, and the two forecasts",
)

# %%
tables.beside([first, second]).set_index("").T

# %% [markdown]
# Which memory was measured, and what this cell says on another machine:

# %%
for one in (first, second):
    print(gpu_memory.words(one))

# %% [markdown]
# And what both hold now, side by side, as Prometheus tells it. These are the dashboard's queries.

# %%
both = gpu_memory.now(vllm, triton)
kit.show(
    gpu_memory.beside(both),
    "Memory of vLLM and of Triton on one box: the forecast beside the most that was measured",
)
print("\n".join(gpu_memory.promql(vllm)))

# %% [markdown]
# ## Explain
#
# ### What a token takes
#
# A key and a value in every layer, for every key-value head. The model says how many; the engine's
# own count of its cache must come to the same.

# %%
model = gpu_memory.of_instance(vllm)
print(f"{model.name}: weights {model.weight_bytes / 1e6:.0f} MB,")
print(f"{model.kv_bytes_per_token:,} bytes a token.")
print(f"0.25 GiB hold {int(0.25 * GIB // model.kv_bytes_per_token):,} tokens;")
print(f"the cache that vLLM made is {first.kv_bytes / 2**20:.0f} MiB (whole blocks).")

# %% [markdown]
# ### What is set aside, and what fills
#
# A cache that is set aside costs the same idle as loaded. So memory in use says nothing of load on
# such an engine, and a GPU that looks full may have nothing to do: read the share of the cache in
# use instead.

# %%
grown = [one.held[1].max() - one.held[1][0] for one in (first, second)]
for one, more in zip((first, second), grown, strict=True):
    print(f"{one.name}: {more / 1e6:.0f} MB more at its peak than when the run began.")
used, aside = first.kv_peak_bytes / 1e6, first.kv_bytes / 1e6
print(f"Of vLLM's cache at most {used:.0f} MB of {aside:.0f} MB were in use.")

# %% [markdown]
# What grew at vLLM is no cache: that was there before. It is working memory of the first large
# steps, which a program keeps once it has it. At Triton both are in it.

# %% [markdown]
# ### Was it foreseen?
#
# The forecast is a sum: weights by the model's files, the cache by the settings, and for the
# program what was once measured on such an engine. The first two are exact. The third is why a
# forecast has an error, and why it is checked here again.

# %%
for one in (first, second):
    start, full = one.plan.total(one.where)
    peak = one.peak_bytes
    print(f"{one.name}: peak {peak / 1e9:.2f} GB, forecast {start / 1e9:.2f} GB at the start,")
    print(f"    {tables.ratio(peak, start)} of it; {full / 1e9:.2f} GB when full.")

# %% [markdown]
# ### Two on one box
#
# Two engines take the sum, but for pages of libraries that both map: those are counted once in PSS,
# half to each. On a GPU nothing is shared, and there is a trap: vLLM takes a *share of the whole*
# (`gpu_memory_utilization`), whoever else is there. Two engines at the usual 0.9 do not fit,
# however small their models. `lab up` computes that before it starts anything, and refuses.

# %%
together = sum(one.held[1][-1] for one in both)
foreseen = sum(one.plan.total(one.where)[0] for one in both)
print(f"Together {together / 1e9:.2f} GB; the forecasts add up to {foreseen / 1e9:.2f} GB.")

# %% [markdown]
# What this notebook cannot say without a GPU: how much CUDA's own context and graphs take (some
# hundred MB to a few GB an engine), and how a GPU's memory is fragmented. Measure *other* on yours
# in the same way, and put it into the sums.

# %% [markdown]
# ## Exercise
#
# A GPU of 24 GiB. The engine that was second here moves in first, and needs there what it held here
# at most (`second.peak_bytes`). Beside it vLLM is to serve Llama 3.1 8B.
#
# - `share`: the largest `gpu_memory_utilization`, in whole hundredths, that leaves the neighbour
#   its room;
# - `requests`: how many whole requests of 2,000 tokens vLLM's cache then holds, with blocks of 16
#   tokens and 1 GiB for all that is neither weights nor cache.

# %%
llama, gpu_bytes, length = gpu_memory.LLAMA_3_8B, 24 * GIB, 2000
### BEGIN SOLUTION
share = math.floor((gpu_bytes - second.peak_bytes) / gpu_bytes * 100) / 100
left = share * gpu_bytes - llama.weight_bytes - GIB
requests = int(left // (16 * llama.kv_bytes_per_token)) // math.ceil(length / 16)
### END SOLUTION
print(checks_memory.share(second, gpu_bytes=gpu_bytes, answer=share).require())
box = {"gpu_bytes": gpu_bytes, "share": share, "other_bytes": GIB, "block_tokens": 16}
checks_memory.requests(llama, **box, length=length, answer=requests).require()

# %% [markdown]
# ## Summary
#
# - Weights = parameters × bytes of a number. A token's KV = 2 × layers × KV heads × head size ×
#   bytes of a number. What a GPU's share leaves after weights and the program is the cache, and the
#   cache over a request's tokens is how many requests run at once.
# - A cache set aside makes memory a constant: watch its share in use, not the memory. One that
#   fills makes memory follow the load: plan for it full.
# - Forecast before the start, measure after it, and keep the ratio: it is the error of your next
#   plan.
#
# The last cell stops what this notebook started.

# %%
kit.down()
