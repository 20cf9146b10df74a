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
# # 05 · TGI: another server's knobs, and what overload looks like
#
# **Goal:** find your way from vLLM's knobs to TGI's and back; read its streams; recognise overload.
#
# **Minutes:** 15 to read and think. The machine needs about one and a half on two CPU cores.
#
# Text Generation Inference (TGI) is Hugging Face's server of language models, and many guides still
# recommend it. Since December 2025 it is in maintenance: fixes only, and its authors point to vLLM
# and SGLang. The last release is 3.3.7, and the repository has been reported archived since March
# 2026. It is worth knowing all the same. Services run it, clients speak its API, and its two ideas
# below, a bounded front door and a price for interrupting, are found in every server.
#
# TGI comes as a Docker image and wants a GPU. Where this machine has neither, the lab runs a server
# of its own that keeps TGI's contract (API, admission, batching, metrics) over transformers, and
# calls it *TGI-compatible* wherever it shows. It says nothing about TGI's speed.

# %%
from notebooks import checks_tgi, kit, tgi

# %% [markdown]
# ## Predict
#
# Requests of 12 tokens arrive eight a second, for eight seconds: more than two CPU cores compute.
#
# 1. The server takes everybody (up to 128). What is TTFT, the wait for the first token, at the end?
# 2. It takes four at a time and refuses the others. What is TTFT now? How many are refused?
# 3. Which HTTP status does a *streaming* client get when it is refused?

# %% [markdown]
# ## Run

# %%
server = kit.up("tgi")
print("What runs here:", server.title, server.version)

# %% [markdown]
# First the wire. TGI's own streams (`/generate_stream`) are server-sent events with a few habits.
# There is no space after `data:`, so clients that look for `data: ` then see nothing at all.
# Each frame is one token. Only the last has the text and the counts, and no `[DONE]` follows it.

# %%
first, *_, last = tgi.wire(server, "The capital of France is", tokens=8)
print(first)
print(last)

# %% [markdown]
# Now one user, then eight, in a closed loop: each asks again when the answer is there.

# %%
alone = kit.load(server, users=1, seconds=6, warmup=1)

# %%
eight = kit.load(server, users=8, seconds=6, warmup=2)

# %% [markdown]
# Then overload, in an open loop: requests come whether or not the server keeps up. First with the
# door wide open, then with four places behind it.

# %%
everybody = kit.load(server, rate=8, seconds=8, warmup=2, tokens=12)

# %%
narrow = kit.up("tgi", max_concurrent_requests=4)
bounded = kit.load(narrow, rate=8, seconds=8, warmup=2, tokens=12)

# %% [markdown]
# ## Look
#
# TTFT of those who were answered.

# %%
kit.show(
    kit.tails(everybody, bounded, quantity="ttft_s"),
    "TTFT of answered requests under overload, with room for 128 requests and for four",
)

# %%
tgi.table({"1 user": alone, "8 users": eight, "8/s, takes 128": everybody, "8/s, takes 4": bounded})

# %% [markdown]
# *Mean batch* is from TGI's own metrics: tokens of finished answers over steps. It is rough in a
# short run, because TGI counts an answer's tokens when it ends.
#
# Last the knobs, side by side. A dash means that the other has no such knob.

# %%
tgi.knobs_beside()

# %% [markdown]
# ## Explain
#
# **The front door.** `max_concurrent_requests` bounds what the server takes, waiting requests
# included. What would wait too long is refused at once, and the client may go elsewhere. vLLM takes
# everything unless told otherwise and lets it wait. The same overload shows as waiting in the one
# line of the picture, and as refusals in the other.

# %%
wide, tight = everybody.summary, bounded.summary
gain = wide["ttft_s"]["mean"] / tight["ttft_s"]["mean"]
speed = wide["output_tokens_per_s"] / tight["output_tokens_per_s"]
print(f"Taking 4 instead of 128 divides the mean TTFT of the answered by {gain:.1f}")
print(f"and refuses {tgi.refused(bounded)} of {tight['requests']['total']} requests;")
print(f"taking everybody gives {speed:.1f} times the tokens a second.")

# %% [markdown]
# The last line is the catch. Who is not let in is not in the batch either: a door narrower than the
# batch the machine can carry throws speed away. Set it to the batch that still meets the latency
# you promised, and a little more for the queue.

# %% [markdown]
# **How a refusal looks.** Without streaming it is HTTP 429 and a JSON body. A stream has begun with
# HTTP 200 before the server looks, so the refusal is its first event: an `error` and an
# `error_type`. Here is what the load test counted, by status and message.

# %%
bounded.summary["requests"]["by_error"]

# %% [markdown]
# **The price of interrupting.** To let newcomers in, TGI stops the running batch for one *prefill*:
# their prompts are computed, and everybody else waits that long for the next token. Two knobs say
# when. `waiting_served_ratio` asks for so many waiting requests for each running one;
# `max_waiting_tokens` lets them in after so many steps however few they are. vLLM has no such
# knobs: with chunked prefill it mixes pieces of prompts into the steps. So does TGI 3 for the
# models it can do that for, and then passes over both.
#
# **The budget.** vLLM's KV cache is a number of bytes, cut into pages, and a request takes pages as
# it grows. TGI counts tokens, and a request counts from the start with the longest answer it *may*
# give. A client that asks for `max_new_tokens=2000` and stops after 20 has held the room for 2000.
#
# What this run cannot tell: how fast TGI is. Where Docker and a GPU are, `lab run tgi` starts the
# real one.

# %% [markdown]
# ## Exercise
#
# From the run `bounded` and the table of knobs:
#
# - `share`: the part of the counted requests that was refused, from 0 to 1;
# - `status`: the HTTP status that those requests have in `bounded.counted["http_status"]`;
# - `counterpart`: vLLM's knob for what TGI calls `max_batch_total_tokens`.

# %%
### BEGIN SOLUTION
requests = bounded.summary["requests"]
share = sum(requests["by_error"].values()) / requests["total"]
status = next(iter(tgi.statuses(bounded)))
counterpart = "kv_cache_gib"
### END SOLUTION
print(checks_tgi.overload(bounded, share=share, status=status).require())
checks_tgi.counterpart(of="max_batch_total_tokens", answer=counterpart).require()

# %% [markdown]
# ## Summary
#
# - The same trades stand behind different names: batch size, tokens a step, room for keys and
#   values. Map the ideas first, then the flags.
# - Overload shows as waiting or as refusals. A bounded door keeps TTFT low for those it lets in,
#   and bounds the batch as well.
# - A refused stream may be HTTP 200. Count errors where they stand: in the stream.

# %%
kit.down()
