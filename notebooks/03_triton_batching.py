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
# # 03 · Triton's dynamic batching
#
# **Goal:** predict what preferred batch size, queue delay and instances do at low and at high load,
# and find where each of them hurts.
#
# **Minutes:** 25 to read and think. The machine needs about 90 seconds of them on two CPU cores.
#
# A *dynamic batcher* lets requests wait a little, so that several are computed together. Triton has
# one in front of every model. Here the model is a small text classifier, run by onnxruntime.

# %%
from notebooks import batching, checks_batching, kit

# %% [markdown]
# ## Predict
#
# Three knobs. A batch leaves as soon as a model *instance* is free and the queue holds a *preferred
# batch size*; otherwise when its oldest request has waited for the *queue delay*. Write down:
#
# 1. One user, alone. A queue delay of 5 ms: what does it add to the latency?
# 2. Sixteen users at once. Batching is turned on. How many times the answers a second will that
#    give on a CPU? Guides promise much; they mean GPUs.
# 3. A second instance of the model, on two cores. What happens to the answers a second, and what
#    to the average batch?
# 4. Four users, a preferred batch size of 8 and nothing else, a queue delay of 50 ms. How long does
#    each request wait?

# %% [markdown]
# ## Run
#
# Only the classifier is loaded, one instance with one thread. Texts have 2 to 32 tokens.

# %%
base = {"models": "text_classifier", "instances": 1}
triton = kit.up("triton", **base)

# %% [markdown]
# First question: one user, with the delay and without. Look at how the setting is changed. Triton
# keeps running; only the one model is loaded anew (its *repository API* does that).

# %%
lone = kit.load(triton, users=1, seconds=8, warmup=1, text_tokens=32)

# %%
kit.up("triton", **base, max_queue_delay_us=0)
lone_at_once = kit.load(triton, users=1, seconds=4, warmup=1, text_tokens=32)

# %% [markdown]
# Second question: sixteen users, without batching and with it (delay 5 ms again).

# %%
kit.up("triton", **base, dynamic_batching=False)
one_by_one = kit.load(triton, users=16, seconds=4, warmup=1, text_tokens=32)

# %%
kit.up("triton", **base)
batched = kit.load(triton, users=16, seconds=4, warmup=1, text_tokens=32)

# %% [markdown]
# The batch is *ragged*: texts of different lengths are padded to the longest. Triton joins only
# texts of equal length unless the model's configuration allows that. Forbid it once.

# %%
kit.up("triton", **base, allow_ragged_batch=False)
strict = kit.load(triton, users=16, seconds=4, warmup=1, text_tokens=32)

# %% [markdown]
# Third question: a second instance.

# %%
kit.up("triton", models="text_classifier", instances=2)
two = kit.load(triton, users=16, seconds=4, warmup=1, text_tokens=32)

# %% [markdown]
# Fourth question: a preferred size that four users can never fill.

# %%
kit.up("triton", **base, preferred_batch_sizes=8, max_queue_delay_us=50_000)
starved = kit.load(triton, users=4, seconds=4, warmup=1, text_tokens=32)

# %% [markdown]
# ## Look
#
# The mean request of each run, cut into its parts. What it waited and what was computed is Triton's
# own account (`nv_inference_queue_duration_us` and `nv_inference_compute_infer_duration_us`); the
# rest of the client's latency is network, HTTP and JSON.

# %%
runs = {
    "1 user, 5 ms delay": lone,
    "1 user, no delay": lone_at_once,
    "16 users, not batched": one_by_one,
    "16 users, batched": batched,
    "16 users, batched, not ragged": strict,
    "16 users, batched, 2 instances": two,
    "4 users, preferred 8, 50 ms": starved,
}

# %%
kit.show(
    batching.bars(runs),
    "Mean E2E latency of each run, cut into queue, computing and the rest",
)

# %% [markdown]
# The average batch is `nv_inference_count` divided by `nv_inference_exec_count`: texts classified
# over batches computed.

# %%
batching.table(runs)

# %% [markdown]
# ## Explain
#
# **The delay at low load.** A lone request waits for company that does not come. It pays the whole
# delay, every time, and gets nothing for it. If the medians differ by more than the delay, look at
# the table: a core that was idle for some milliseconds may compute more slowly, too.

# %%
apart_s = batching.medians_apart_s(lone, lone_at_once)
print(f"With 5 ms of delay the lone user's median E2E is {apart_s * 1e3:.1f} ms higher.")

# %% [markdown]
# **Batching at high load.** While one batch is computed the next ones gather by themselves, so the
# delay hardly matters. Whether a batch is worth its while is another question. A GPU that computes
# one text is mostly idle, and sixteen cost it little more than one. A CPU core that computes one
# text is busy, and sixteen cost it nearly sixteen times as much; and where lengths differ, padding
# is computed as well.

# %%
found = [batching.parts(run).batch for run in (one_by_one, batched, strict)]
print("Average batch: {:.1f} without, {:.1f} with, {:.1f} if not ragged.".format(*found))
print(f"Answers a second with batching: {batching.speed_up(one_by_one, batched):.2f} times.")
print(f"Forbid ragged batches again: {batching.speed_up(batched, strict):.2f} times that.")
print(f"Noise: not ragged, {batching.speed_up(one_by_one, strict):.2f} times not batched at all.")

# %% [markdown]
# The last line is a control. Equal lengths are rare among these texts, so without ragged batches
# hardly any two are joined (see its average batch), and the two runs do nearly the same work. How
# far their factor is from 1 is noise, of the machine and of four seconds. A factor no further from
# 1 than that says nothing, and one pair shows only a part of the noise.
#
# If the first factor stays near 1, your processor gains nothing by batching; if it is below 1 by
# more than the noise, padding costs more than batching saves. Either way the number is a fact of
# this model on this machine, not of batching: measure before you set it, for longer than here.
#
# **Instances.** A second instance is a second process with the same model. Two batches are computed
# at a time, if there is a core for each; and the same requests are dealt out to both, so batches
# are smaller.

# %%
print(f"A second instance: {batching.speed_up(batched, two):.2f} times the answers a second,")
print(f"average batch {batching.parts(two).batch:.1f} after {batching.parts(batched).batch:.1f}.")

# %% [markdown]
# (The load test and Triton's own threads want a part of the two cores as well. On a machine with
# more of them the gain is nearer to two.)
#
# **Where it hurts.** There are two kinds of waiting. Sixteen users whose texts are not joined wait
# behind each other, because the model is busy: another instance helps them. Four users in a closed
# loop can never be eight in the queue. No batch of theirs reaches the preferred size, so every one
# of them waits for the delay, and the model is idle meanwhile. Nothing in a log says so: the server
# is healthy, its processor has time, and requests are slow.

# %%
waited = batching.parts(starved)
print(
    f"Of {waited.whole_s * 1e3:.0f} ms a request waited {waited.queue_s * 1e3:.0f} ms in the queue."
)

# %% [markdown]
# What these numbers cannot say: how a GPU would do, or a larger model. And four seconds are short:
# read differences in the answers a second that are no larger than the control's above as none. On a
# machine that does other things meanwhile that may be a third and more. To see smaller ones, load
# for a minute, several times, in changing order.
#
# ## Exercise
#
# From your own runs:
#
# - `paid_ms`: what the lone user pays for the delay, the median of E2E with it (`lone`) less the
#   median without (`lone_at_once`), in milliseconds;
# - `idlest`: the name of the run in which the model computed for the smallest part of the time.
#   `batching.parts(run)` has `batch` (texts a batch) and `compute_s` (seconds a batch), and
#   `run.summary["answered_rps"]` the texts a second; `runs` has the runs by name.

# %%
### BEGIN SOLUTION
medians = [run.summary["e2e_s"]["p50"] for run in (lone, lone_at_once)]
paid_ms = (medians[0] - medians[1]) * 1e3
busy = {}
for name, run in runs.items():
    found = batching.parts(run)
    busy[name] = run.summary["answered_rps"] / found.batch * found.compute_s
idlest = min(busy, key=lambda name: busy[name])
### END SOLUTION
print(checks_batching.price_of_being_alone(lone, lone_at_once, answer_ms=paid_ms).require())
checks_batching.idlest(runs, answer=idlest).require()

# %% [markdown]
# ## Summary
#
# - The queue delay is what a lone request pays; at high load batches form without it.
# - A preferred size above the number of requests in flight makes everybody wait for the delay.
# - Batching multiplies throughput where one request leaves the processor idle. Look at the average
#   batch *and* at the answers a second: a full batch alone proves nothing.
#
# The last cell stops what this notebook started.

# %%
kit.down()
