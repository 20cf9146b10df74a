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
# # 06 · Five ways to serve one classifier
#
# **Goal:** compare five model servers fairly, and tell what is the server from what is its setting.
#
# **Minutes:** 20 to read and think. The machine needs about 90 seconds of them on two CPU cores.
#
# | server | what it is |
# |---|---|
# | Triton | NVIDIA's server, C++; the model runs in its Python backend here |
# | BentoML | a Python class becomes a service; batches by a rule it learns itself |
# | Ray Serve | Python on Ray: a proxy, a controller and replicas, made for clusters |
# | TorchServe | a Java server in front of Python workers; archived in August 2025 |
# | FastAPI batcher | the batcher that guides write by hand on FastAPI, here the lab's own |

# %%
from notebooks import checks_servers, five_servers, kit

# %% [markdown]
# ## Predict
#
# Each serves the same small text classifier, with the same library, on one thread. Write down:
#
# 1. Which of the five has the lowest median latency at a modest load? By what factor does the
#    slowest trail it?
# 2. All five batch. At a load that one core can carry, how many requests will a batch hold?
# 3. Which of them takes the most memory, and how many times the least?

# %% [markdown]
# ## Run
#
# What makes it fair:
#
# - **The same work.** One model file, run by onnxruntime on one thread in one worker.
# - **The same questions.** Equal seeds give the same texts, at the same moments.
# - **Open loop.** Requests come at a fixed rate, whatever the server does. With users who wait for
#   their answer, a slow server would be asked less often, and look better for it.
# - **The same client.** JSON over one kind of HTTP connection, stamped by the kernel. Triton has a
#   faster way in, gRPC; it is not used here.
# - **Alone.** Each server is stopped before the next one starts, and each is warmed up.

# %%
runs = five_servers.run_each(five_servers.SERVERS, rate=25, seconds=5)

# %% [markdown]
# ## Look
#
# First whether the fight was fair. The last rows are the client's verdict on itself, run by run.

# %%
five_servers.fair(runs)

# %% [markdown]
# Then the latency, from the moment a request was wanted to the end of its answer. A whisker is a
# 95% interval; where there is none, the sample is too small for it.

# %%
kit.show(
    five_servers.quantiles(runs),
    "Median and p90 of the E2E latency of five servers, with their 95% intervals",
)

# %% [markdown]
# And what each has cost. The average batch is the server's own count of requests over its batches,
# memory is that of all its processes (what they share is counted once), and the last column is the
# time from the start to the first good health check.

# %%
five_servers.table(runs)

# %% [markdown]
# ## Explain
#
# All five run the same model file with the same library on one thread, so look for the difference
# around the model first. (How long the model itself took in each was not measured: other threads of
# a server may take the core from it.) Three things may differ:
#
# - **The way in.** HTTP, JSON and the hand-over to the process that computes. More processes on the
#   way, more of it.
# - **The wait for company.** TorchServe, Ray Serve, the FastAPI batcher and Triton hold a request
#   back for 5 ms, in case others come. BentoML has no such knob: it learns when waiting pays.
# - **The company itself.** A batch is answered when its last text is computed.
#
# Look at the average batches. Where they are near 1, the wait was paid and bought nothing.

# %%
medians = five_servers.medians(runs)
print(f"Slowest over quickest median: {max(medians.values()) / min(medians.values()):.1f} times.")

# %% [markdown]
# Is that the servers, or a setting? Take one of them and turn its delay off: one knob, all else as
# it was.

# %%
at_once = {"fastapi-batcher": {"max_queue_delay_us": 0}}
(undelayed,) = five_servers.run_each(at_once, rate=25, seconds=5)

# %%
delayed = runs[-1]
five_servers.table([delayed, undelayed])

# %% [markdown]
# If that moved the median by as much as two servers are apart, a table that ranks servers with
# their default settings ranks the settings.
#
# What these numbers cannot say: who carries the most. At a modest rate nobody is near the limit.
# Raise the rate until one of them fails, with `lab run ENGINE --rate 60 --slo e2e=100ms`, and
# compare the goodput. Nor do they speak of a GPU, where a batch is nearly free and the wait for it
# pays.

# %% [markdown]
# ## Exercise
#
# - `quickest`: the row of the first table with the lowest E2E p50, such as `"triton"`;
# - `told_apart`: whether its interval and that of the next lowest median have no value in common;
# - `gained_ms`: by how many milliseconds the median fell when the delay was turned off.

# %%
### BEGIN SOLUTION
quickest = min(medians, key=medians.get)
ranked = sorted((run.summary[five_servers.LATENCY] for run in runs), key=lambda one: one["p50"])
one, other = (summary["ci95"]["p50"] for summary in ranked[:2])
told_apart = bool(one and other and (one[1] < other[0] or other[1] < one[0]))
before, after = (run.summary[five_servers.LATENCY]["p50"] for run in (delayed, undelayed))
gained_ms = (before - after) * 1e3
### END SOLUTION
print(checks_servers.quickest(runs, name=quickest, told_apart=told_apart).require())
checks_servers.price_of_the_delay(delayed, undelayed, answer_ms=gained_ms).require()

# %% [markdown]
# ## Summary
#
# - Compare servers with the same model, questions, rate and client, alone on the machine, and with
#   the client's own verdict beside every number.
# - At low load a delay that a server waits on purpose may weigh as much as the choice of server. It
#   was turned off on one of the five here; what parts the others was not taken to pieces.
# - Rank settings before you rank servers. And look at memory, start and who still mends it, too.

# %%
kit.down()
