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
# # 07 · Write a dynamic batcher
#
# **Goal:** write the rule of a dynamic batcher, know how a batcher breaks and what mends it, and
# measure a naive one against a right one.
#
# **Minutes:** 30 to read and think. The machine needs about 80 seconds of them on two CPU cores.
#
# Many guides end with "and here is a batcher of twenty lines". It works in the demonstration. This
# notebook takes it apart, request by request, and then puts it under load. Both batchers below are
# real: they are the two that the lab's engine `fastapi-batcher` runs, and you can read them in
# `servers/fastapi_batcher/inside/`: `polling.py` is the guides', `batching.py` the lab's.

# %%
from notebooks import checks_batcher, kit, own_batcher

# %% [markdown]
# ## Predict
#
# The naive batcher wakes up every 10 ms (a *tick*), takes up to 8 of the requests that wait,
# computes them and sleeps again. Write down:
#
# 1. A guide says: a lone request waits half a tick on average. One user asks, reads the answer and
#    asks again at once. How many ticks does each of the requests wait?
# 2. One request of a batch cannot be computed. How many get an error?
# 3. Requests come twice as fast as they can be computed, for five seconds. How late is an answer
#    at the end?

# %% [markdown]
# ## Run
#
# First without a server. A *virtual clock* runs the same code with an imaginary model: 4 ms for a
# batch and 1 ms more for each request in it. A lone request, a burst of twelve, another lone one:

# %%
arrivals_s = [0.003, *(0.030 + 0.001 * place for place in range(12)), 0.083]
naive = own_batcher.polling(arrivals_s)
kit.show(
    own_batcher.timeline(naive),
    "Fourteen requests of the naive batcher, each waiting and then computed",
)

# %% [markdown]
# The model is free and requests wait: that is the tick. Now write something better. `HandMade` has
# a queue and asks a *rule* when to go: from the number that wait, and the seconds the oldest has
# waited, to the seconds to wait on. It is asked again at each arrival; 0 means go.
#
# The first idea is to go at once. The second is to wait until the batch is full.


# %%
def at_once(waiting, oldest_s):
    return 0.0


greedy = own_batcher.by_rule(at_once, arrivals_s, "at once")


# %%
def when_full(waiting, oldest_s):
    return 0.0 if waiting >= own_batcher.SIZE else 60.0


try:
    own_batcher.by_rule(when_full, arrivals_s, "when full")
except RuntimeError as fault:
    print(fault)

# %% [markdown]
# The second one breaks: a lone request waits for seven others who never come. Somewhere between the
# two is the rule of every dynamic batcher; you will write it in the exercise. This is what the
# lab's batcher does with the same requests, with at most 8 a batch and 5 ms of delay.

# %%
right = own_batcher.by_deadline(arrivals_s)
kit.show(
    own_batcher.timeline(greedy, right),
    "The same fourteen requests of a batcher that goes at once and of the lab's",
)

# %%
own_batcher.told(naive, greedy, right)

# %% [markdown]
# Look at the mean waits: the one that goes at once waits less than the lab's. So why not always go
# at once? It batches as well, for while one batch is computed the next requests gather. A model
# that would be idle otherwise loses nothing by it, and where a lone user's latency is all that
# counts it is the answer (the lab's batcher does it with `max_queue_delay_us=0`). What the delay
# buys is in the column `batches`: fewer and fuller ones. Each has a fixed price, 4 ms here, so that
# less is computed for the same requests, and the rest is left to others on the same processor. The
# requests pay for that with their wait. As the load grows the two become alike.
#
# Now break them. Request 5 cannot be computed. The client of request 7 leaves while it waits.

# %%
trouble = {"bad": {5}, "leave_s": {7: 0.0375}}
hurt, mended = (
    play(arrivals_s, **trouble) for play in (own_batcher.polling, own_batcher.by_deadline)
)
own_batcher.told(hurt, mended)

# %% [markdown]
# And now for real: the engine with each of the two, the same model, the same load, and batches of
# up to 64 with both. First, how many requests a second can this machine compute? Thirty-two users
# in a closed loop say so.

# %%
good = kit.up("fastapi-batcher", max_queue_size=32)
most = kit.load(good, users=32, seconds=4, warmup=1, text_tokens=32)
ceiling = round(most.summary["answered_rps"])

# %% [markdown]
# Three loads: one user alone; half of that rate; twice as much as can be computed.

# %%
alone = kit.load(good, users=1, seconds=4, warmup=1, text_tokens=32)
half = kit.load(good, rate=ceiling / 2, seconds=4, warmup=1, text_tokens=32)
flood = kit.load(good, rate=2 * ceiling, seconds=5, warmup=1, text_tokens=32)

# %%
bad = kit.up("fastapi-batcher", batcher="polling")
naive_alone = kit.load(bad, users=1, seconds=4, warmup=1, text_tokens=32)
naive_half = kit.load(bad, rate=ceiling / 2, seconds=4, warmup=1, text_tokens=32)
naive_flood = kit.load(bad, rate=2 * ceiling, seconds=5, warmup=1, text_tokens=32)

# %% [markdown]
# ## Look
#
# The table first. Waits and batches are the engine's own account, from its metrics; what still
# waits in its queue at the end of a run is not in it.

# %%
own_batcher.table(alone, naive_alone, half, naive_half, flood, naive_flood)

# %% [markdown]
# Then overload, as it goes on: each dot is an answered request, at the moment it was wanted.

# %%
kit.show(
    kit.moments(flood, naive_flood, quantity="e2e_s"),
    "E2E latency of answered requests over time under overload, with both batchers",
)

# %% [markdown]
# ## Explain
#
# **The tick.** A fixed tick has nothing to do with when requests come. Half a tick on average is
# true of requests that come at any time. A user who asks again as soon as the answer is there comes
# just after the tick, always, and waits for nearly all of the next one. The deadline belongs to the
# request: it waits 5 ms because it was told to, and a full batch does not wait at all.

# %%
for name, run in (("deadline", alone), ("polling", naive_alone)):
    print(f"{name}: a lone request waits {own_batcher.account(run).queue_s * 1e3:.1f} ms.")

# %% [markdown]
# **The bad request.** All or nothing is the simplest code: one exception for the whole batch. The
# lab's batcher computes the requests of a failed batch once more, each alone, and only those that
# fail by themselves get an error. Look at the longest wait above: that has its price, for errors
# that should be rare. What can be refused before it waits (too long, not in the vocabulary) is
# refused before it waits.
#
# **The client that left.** Nobody waits for its answer any more, and the naive batcher computes it
# all the same. Under overload that is the larger part of the work: clients give up, and come again.
#
# **Overload.** No batcher can answer more than the machine computes. What differs is who pays. With
# a bound, a few are told at once that the queue is full (HTTP 429) and may ask elsewhere; the
# others are answered soon. Without one, everybody is accepted, and everybody is late; the lateness
# grows as long as the overload lasts, and outlives it.

# %%
for name, run in (("deadline", flood), ("polling", naive_flood)):
    counts, p90_s = run.summary["requests"], run.summary["e2e_s"]["p90"]
    late = "unknown" if p90_s is None else f"{p90_s:.2f} s"
    print(f"{name}: {counts['ok']} answered, {counts['failed']} refused, p90 of E2E {late}.")

# %% [markdown]
# What these numbers cannot say: on a GPU a full batch costs little more than a single request, and
# whoever makes the fuller batches answers more. On this CPU the model computes a batch hardly
# faster than its requests one by one, so the batches of the table, fuller or not, gain little.

# %% [markdown]
# ## Exercise
#
# - Write `rule`: a batch goes when it is full (`own_batcher.SIZE` requests) or when its oldest
#   request has waited for `own_batcher.DELAY_S`. It is played to forty patterns of arrivals.
# - `ticks`: how many ticks (`own_batcher.TICK_S`) a request of the lone user waited for its batch
#   with the naive batcher, on average. `own_batcher.account(run)` has the engine's numbers.


# %%
### BEGIN SOLUTION
def rule(waiting, oldest_s):
    return 0.0 if waiting >= own_batcher.SIZE else own_batcher.DELAY_S - oldest_s


ticks = own_batcher.account(naive_alone).queue_s / own_batcher.TICK_S
### END SOLUTION
print(checks_batcher.rule(rule).require())
checks_batcher.ticks_waited(naive_alone, answer=ticks).require()

# %% [markdown]
# ## Summary
#
# - A batch goes when it is full or when its oldest request is due; a tick knows neither.
# - A batcher needs a bound, an error for the guilty alone, a way out for those who leave, and an
#   end in good order. The twenty lines of a guide have none of them.
# - Measure a batcher alone, at half load and above its ceiling: at each it fails in another way.
#
# The last cell stops what this notebook started.

# %%
kit.down()
