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
# # 01 · Serving patterns
#
# **Goal:** choose between synchronous, asynchronous, streaming and batch serving, and tell TTFT
# from E2E.
#
# **Minutes:** 20 to read and think. The machine needs about 90 seconds of them on two CPU cores.
#
# One model can be asked in several ways. *Synchronous*: ask, wait, have the answer. *Streaming*:
# ask once, and have the answer in pieces as they come. *Asynchronous*: hand in a job, go, and ask
# later whether it is done. *Batch*: no server at all; a file goes in and a file comes out.

# %%
import os
import signal

from notebooks import checks_patterns, kit, patterns

# %% [markdown]
# ## Predict
#
# A client has 128 sentences to be classified. The server takes up to 8 of them into one batch.
#
# 1. The client can ask one by one, stream all in one request, or hand in a job and poll. Which way
#    has the first answer first? Which has all answers first?
# 2. The server is killed while it computes a job. What is left of the job?
# 3. A language model writes 16 tokens. What part of the whole time passes before the first one?
# 4. Sixty-four prompts: how many times the tokens a second does an engine give without a server,
#    compared with four users who ask one after another?

# %% [markdown]
# ## Run
#
# The server is a FastAPI application with all three patterns in front of one batcher. You can read
# it in `servers/fastapi_batcher/inside/app.py`.

# %%
server = kit.up("fastapi-batcher", max_batch_size=8)

# %%
asked = patterns.texts(128)
sync = patterns.synchronous(server, asked)
stream = patterns.streamed(server, asked)
job = patterns.as_job(server, asked)

# %% [markdown]
# Now hand in a job and kill the server, at once and without mercy: `kill -9`, as the kernel does
# when memory runs out. Then start it again and ask for the same job.

# %%
ticket = patterns.hand_in(server, asked)
os.kill(server.pid, signal.SIGKILL)

# %%
server = kit.up("fastapi-batcher", max_batch_size=8)
print(f"The job has {patterns.fetch(server, ticket)} results, one for each of {len(asked)} texts.")

# %% [markdown]
# Then a language model, where an answer itself has a first and a last part. First online: four
# users in a closed loop, every answer streamed.

# %%
vllm = kit.up("vllm")
online = kit.load(vllm, users=4, seconds=10, tokens=16)

# %% [markdown]
# And the same model offline. The engine is started without a server, takes a file of prompts and is
# gone when all are answered (`lab batch`).

# %%
kit.down(vllm)
offline = patterns.offline("vllm", patterns.prompts(64), tokens=16)

# %% [markdown]
# ## Look
#
# What the client had in its hands, at each moment:

# %%
kit.show(
    patterns.in_hand(sync, stream, job),
    "Answers in the client's hands over time, synchronous, streaming and asynchronous",
)

# %%
patterns.table(sync, stream, job)

# %% [markdown]
# And the language model's latencies online: the first token (TTFT) and the whole answer (E2E).

# %%
kit.compare(online, quantities=("ttft_s", "e2e_s"))

# %% [markdown]
# ## Explain
#
# **Synchronous** is the simplest, and right for one question with a short answer. A client that has
# many questions and asks them one by one is alone in the server. It is slow for three reasons:
# every request waits the batcher's whole delay (5 ms unless set otherwise) for company that never
# comes, each goes the way through HTTP by itself, and no batch ever holds two. The picture does not
# say what each costs; `max_queue_delay_us=0` would take the first away.
#
# **Streaming** gives the server all the work at once, so that it can batch, and gives the client
# the first answers while the last ones are computed. It needs a connection that lasts as long as
# the work, and a client that can do something with a part.
#
# **Asynchronous** gives up the first answers for two other things. The client knows at once that
# its work is taken, and holds no connection. And the work outlives the server: the job was on disk
# before the server said yes. The price is polling, and a delay of up to one poll.

# %%
print(f"The job was taken after {job.accepted_s * 1e3:.0f} ms, and done after {job.last_s:.2f} s.")
print(f"Streaming had its first answer after {stream.first_s / stream.last_s:.0%} of its time.")

# %% [markdown]
# **TTFT against E2E.** A reader does not wait for an answer, but for its beginning. Without
# streaming the first word is there when the last one is: E2E. With streaming it is TTFT. Nothing in
# the engine is faster for it.
#
# **Batch** has no reader at all. Nobody waits for a single answer, so only the tokens a second
# count: the engine always has as many sequences as it can take. Online it has as many as there are
# users, and stands still between them.

# %%
speeds = [run.summary["output_tokens_per_s"] for run in (online, offline)]
print("Online, four users: {:.0f} tokens/s. Offline: {:.0f} tokens/s.".format(*speeds))
print(f"That is {speeds[1] / speeds[0]:.1f} times as much, the engine's start left out.")

# %% [markdown]
# What these numbers cannot say: four users are few. An engine whose users fill its batch is as fast
# online as offline, and its users wait. And starting the engine takes longer than these 64 prompts:
# batch pays for large files.

# %% [markdown]
# ## Exercise
#
# - `chosen`: for each of the four needs that `checks_patterns.needs()` lists, the pattern that
#   fits: `"synchronous"`, `"asynchronous"`, `"streaming"` or `"batch"`;
# - `times`: how many times longer the median reader of the run `online` would wait for the first
#   word without streaming.

# %%
### BEGIN SOLUTION
patterns_in_order = ("streaming", "batch", "synchronous", "asynchronous")
chosen = dict(zip(checks_patterns.needs(), patterns_in_order, strict=True))
times = online.summary["e2e_s"]["p50"] / online.summary["ttft_s"]["p50"]
### END SOLUTION
print(checks_patterns.choice(answer=chosen).require())
checks_patterns.seen_earlier(online, answer=times).require()

# %% [markdown]
# ## Summary
#
# - Ask who waits: a program for one answer (synchronous), a reader (streaming), somebody who comes
#   back (asynchronous), nobody (batch).
# - TTFT is what a streamed reader waits; E2E is what everybody else waits.
# - A job is accepted when it is on disk. Anything less is a promise that the next restart breaks.
#
# The last cell stops what this notebook started.

# %%
kit.down()
