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
# # 00 · First run
#
# **Goal:** read a comparison of two engines that you have just launched yourself.
#
# **Minutes:** 15 to read and think. The machine needs about one and a half on two CPU cores.
#
# Both engines serve the same small model, SmolLM2-135M-Instruct. vLLM is a server made for language
# models. Triton is a server for any model; here it runs the same one in its Python backend. A small
# model makes bad poetry and good experiments.

# %%
from notebooks import checks, kit

# %% [markdown]
# ## Predict
#
# Two words first. **TTFT**, time to first token, is how long a user waits until the answer begins.
# **ITL**, inter-token latency, is the pace at which it then goes on.
#
# Four users will ask at the same time. Write your guesses down before you go on:
#
# 1. Which engine has the lower TTFT, and by what factor? Which has the lower ITL?
# 2. An engine computes several answers together, in a *batch*. Suppose there were one place in the
#    batch, and still four users. What would that do to TTFT? What to ITL?

# %% [markdown]
# ## Run
#
# `kit.up` does what `lab up` does. It installs the engine at its first use, starts it as a process
# of its own and waits until it answers.

# %%
vllm = kit.up("vllm")

# %%
triton = kit.up("triton")

# %% [markdown]
# Are these real servers? Ask both the same question.

# %%
for engine in (vllm, triton):
    kit.ask(engine, "The capital of France is", tokens=12)

# %% [markdown]
# Now the same load, first on one and then on the other, never on both at once: they would slow each
# other down. Each user asks, reads the answer to its end and asks again. That is a *closed loop*.
# The first seconds are warm-up and do not count. The answers are short, eight tokens, so that there
# are many of them.

# %%
on_vllm = kit.load(vllm, users=4, seconds=8, tokens=8)

# %%
on_triton = kit.load(triton, users=4, seconds=8, tokens=8)

# %% [markdown]
# The printed `locust` line is the whole load test; you can type it in a terminal. *Can the client
# be believed?* is about the load generator. *Valid*: it kept up. *Suspect*: mind the reason given,
# such as a sample too small for a far percentile. *Invalid*: no number below counts.

# %% [markdown]
# ## Look
#
# First the tails. The further right, the rarer: one request in ten is slower than p90. The shade is
# the 95% interval.

# %%
kit.show(
    kit.tails(on_vllm, on_triton, quantity="ttft_s"),
    "TTFT of both engines against the percentile of requests, four users",
)

# %% [markdown]
# Then the pace. The line climbs by one step a request; further left is faster.

# %%
kit.show(
    kit.spread(on_vllm, on_triton, quantity="itl_s"),
    "Share of requests of both engines at or below each ITL, four users",
)

# %% [markdown]
# The same in numbers, with the interval in brackets. Repeat the experiment many times, and at least
# 19 in 20 such intervals hold the true value. Requests that were answered together resemble each
# other, so the lab counts how many independent ones they are worth; the intervals rest on that.
# Where the brackets are missing the sample is too small for them; a dash means too small to say.

# %%
kit.compare(on_vllm, on_triton)

# %% [markdown]
# ## Explain
#
# The two latencies differ because different work stands behind them. Before the first token a
# request may wait for a place in the batch; then the model reads the whole prompt (*prefill*).
# After that, one step of the model gives everybody in the batch one token more (*decode*). So an
# engine can win on one and lose on the other.
#
# Test that with one knob. `max_num_seqs` is the number of places in the batch. Give Triton a single
# one and repeat the same load.

# %%
one_place = kit.up("triton", max_num_seqs=1)
on_one_place = kit.load(one_place, users=4, seconds=8, tokens=8)

# %%
kit.show(
    kit.tails(on_triton, on_one_place, quantity="ttft_s"),
    "TTFT of Triton with its usual batch and with one place in it, four users",
)

# %%
kit.compare(on_triton, on_one_place)

# %%
waited = on_one_place.summary["ttft_s"]["p50"] / on_one_place.summary["e2e_s"]["p50"]
ratio = on_one_place.summary["itl_s"]["p50"] / on_triton.summary["itl_s"]["p50"]
print(f"With one place the median TTFT is {waited:.0%} of the median E2E latency,")
print(f"and the median ITL is {ratio:.2f} times what it was.")

# %% [markdown]
# With one place, three of four users wait while the fourth is served. If nothing else took time,
# the wait would be three quarters of E2E, the whole time from question to last word. Hold the first
# line against that, and both lines against your second guess. Where ITL did not grow and TTFT did,
# nothing in the model became slower: the time is spent in the queue, and only TTFT shows it.
#
# What these numbers cannot say: how the engines compare with another model, longer prompts, more
# users or a GPU. Nor do they say much of the far tail. An interval for p90 needs 36 independent
# requests, for p99 it needs 368. Requests, not seconds, are what a tail is made of.

# %% [markdown]
# ## Exercise
#
# Read it off the first table (vLLM against Triton, both as they come):
#
# - `faster`: the instance with the lower p50 of TTFT, `"vllm"` or `"triton"`;
# - `told_apart`: whether the two intervals of that row have no value in common;
# - `deepest`: the furthest percentile of Triton's TTFT that has an interval, such as `"p50"`, or
#   `"none"` if no row has one.

# %%
### BEGIN SOLUTION
first, second = on_vllm.summary["ttft_s"], on_triton.summary["ttft_s"]
faster = "vllm" if first["p50"] < second["p50"] else "triton"
one, other = first["ci95"]["p50"], second["ci95"]["p50"]
told_apart = one is not None and other is not None and (one[1] < other[0] or other[1] < one[0])
deepest = ["none", *(level for level, interval in second["ci95"].items() if interval)][-1]
### END SOLUTION
print(checks.deepest_quantile(on_triton, quantity="ttft_s", answer=deepest).require())
checks.first_token(on_vllm, on_triton, faster=faster, told_apart=told_apart).require()

# %% [markdown]
# ## Summary
#
# - TTFT is waiting and reading; ITL is the pace of the batch. Judge an engine by both.
# - A number without its interval and its count cannot be compared. Two intervals without a common
#   value tell two runs apart; two that overlap leave it open.
# - One knob at a time, the same load, then look again. The rest of this course is that loop.
#
# The last cell stops what this notebook started. The runs stay: `lab compare` and the dashboard
# (`make dashboard`) read them.

# %%
kit.down()
