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
# # 08 · Cold start and warm-up
#
# **Goal:** measure how long a server takes from its start until it answers at its usual pace, and
# say from which moment on it may be sent traffic.
#
# **Minutes:** 15 to read and think. The machine needs about 1 of them on two CPU cores.
#
# A new replica is added because there is too much traffic, and the load balancer sends it a share
# as soon as its health check answers. What happens to those first requests?

# %%
from notebooks import checks_cold_start, cold_start, kit

# %% [markdown]
# ## Predict
#
# Four words first. **Cold start** is the time from the start of the process until the server is
# *ready*. **Ready** is what its readiness check says. **Warm** is when answers take as long as they
# always will. The **warm-up** is what lies between: real requests whose answers nobody needs.
#
# Three servers will be started, each with the same small text classifier: Triton (written in C++),
# TorchServe (in Java) and a batcher of the lab's own (in Python, on FastAPI). Write down:
#
# 1. Which is ready first? After how many seconds is the last?
# 2. How many times longer does the first answer take than one when warm? On which of them most?
# 3. 20 requests come every second. How many reach a server between its first *health 200* and the
#    moment it is warm?

# %% [markdown]
# ## Run
#
# `cold_start.measure` starts a server with `--no-warmup`. From outside, fifty times a second, it
# asks what a load balancer asks: does the port take a connection, does the health check give 200?
# When the server is ready by the lab's own check, `lab up` without the flag warms it up: equal
# requests, one after another, until the medians of the last three answers and of the three before
# them are within 20% (or 2 ms) of each other.

# %%
triton = cold_start.measure("triton", health="/v2/health/live", models="text_classifier")

# %%
torchserve = cold_start.measure("torchserve", health="/ping")

# %%
batcher = cold_start.measure("fastapi-batcher", health="/health")

# %% [markdown]
# ## Look
#
# First the way to readiness, with the first answer and the end of the slow ones behind it.

# %%
starts = [triton, torchserve, batcher]
kit.show(
    cold_start.phases(starts),
    "For each of three servers, when its port was open, its health check gave 200, it was ready, "
    "had given its first answer and was steady, in seconds from the start of its process",
)

# %% [markdown]
# Then the answers, from the first on. The scale is logarithmic: equal steps are equal factors.

# %%
kit.show(
    cold_start.curves(starts),
    "Time to each answer of three servers, from the first answer after they were ready",
)

# %%
cold_start.table(starts)

# %% [markdown]
# *Slow answers* are those at the beginning that took more than twice as long as the last ones.
# *Steady* is the end of the last of them, had the first been asked the moment the server was ready.

# %% [markdown]
# ## Explain
#
# **Before ready** a server starts its processes, imports its libraries, reads the weights and makes
# its sessions. Larger weights and more imports make it longer; requests cannot make it shorter.
#
# **After ready** the first requests pay for all that is done at first use: memory is touched for
# the first time, buffers are allocated, kernels chosen or compiled, connections between the
# server's own processes opened. It may be more than one request: Triton runs two instances of the
# classifier here, each with a first request of its own, and a Java server compiles only the code
# that it has used often.
#
# **A health check is a promise of whoever wrote it.** Some answer as soon as the web server
# listens, while a worker still reads the weights; some only when the model can compute. The gap
# between *health 200* and *ready*, from the table:

# %%
for one in starts:
    gap_s = max(one.ready_s - one.health_s, 0.0)
    print(f"{one.name}: {gap_s:.2f} s between its first health 200 and a model that can answer.")
    print(
        f"  Its first answer took {one.latencies_s[0] / one.last_s:.1f} times as long as its last."
    )

# %% [markdown]
# Who believes the check sends traffic into that gap. Start TorchServe once more, cold, and send it
# one request together with its first health 200:

# %%
early = cold_start.impatient("torchserve", health="/ping")
print(f"Sent with the first health 200: {early.outcome} after {early.took_s:.2f} s.")
print(f"Sent when it was warm: an answer after {torchserve.last_s:.3f} s.")

# %% [markdown]
# So three questions need three checks, and Kubernetes has a probe for each:
#
# - *Is the process alive, or must it be restarted?* A liveness probe: cheap, no model in it.
# - *Has it started?* A startup probe, with a patience of the slowest cold start you have measured.
#   Without it the liveness probe kills a server that is still loading, again and again.
# - *May it have traffic?* A readiness probe: 200 only when the model has answered, **after** the
#   warm-up. The server itself, or a hook beside it, sends the warm-up requests first.

# %% [markdown]
# What was warmed is what was asked: one request at a time, of one length. A batch of 32, a longer
# text or the server's second worker meet their own first time. Requests that look like the real
# ones, as many at once as will come, warm more. And a server that was warm can be cold again, after
# hours without a request.
#
# What these numbers cannot say: how long a start takes when the files are not in the operating
# system's cache, as on a new machine, where an image of gigabytes is pulled first. On a GPU both
# are longer: the weights must get there, and the first answers compile and tune kernels.

# %% [markdown]
# ## Exercise
#
# For TorchServe, from the table or from its numbers (`torchserve.health_s`, `.steady_s`,
# `.latencies_s`, `.last_s`, all in seconds):
#
# - `times_slower`: how many times as long the first answer took as answers took at the end;
# - `too_early`: how many requests, of 20 a second, come between its first health 200 and the moment
#   it was steady.

# %%
### BEGIN SOLUTION
times_slower = torchserve.latencies_s[0] / torchserve.last_s
too_early = 20 * (torchserve.steady_s - torchserve.health_s)
### END SOLUTION
checks_cold_start.early_traffic(
    torchserve, rate_rps=20, times_slower=times_slower, too_early=too_early
).require()

# %% [markdown]
# ## Summary
#
# - Cold start and warm-up are two things: the one ends when the server can answer, the other when
#   answering takes as long as it always will. Measure both; an autoscaler waits for their sum.
# - A 200 from a health check says what its author made it say. Look what it waits for.
# - Hold traffic back until real requests have been answered at a steady pace. `lab up` does so, and
#   every run's manifest says how long the start took and what the warm-up found.
#
# The last cell stops what this notebook started.

# %%
kit.down()
