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
# # 13 · Can I trust my load generator?
#
# **Goal:** calibrate a load generator, starve it and read its verdict, tell the client's delay from
# the server's, and explain why four tools give four numbers for one run.
#
# **Minutes:** 25 to read and think. The machine needs about one and a half on two CPU cores.
#
# A load generator is an instrument, and an instrument is checked against something known. The lab's
# *reference server* is that: it is no model and computes nothing. It streams words at times it was
# told to, and writes down when each one was really sent. Every request carries its name in the
# header `X-Request-Id`, so what was measured can be laid beside what was true, one by one.

# %%
from notebooks import checks, figures, instruments, kit

# %% [markdown]
# ## Predict
#
# A program cannot look at its clock while it waits for a core. Write your guesses down:
#
# 1. A client notes the time each time it has read from a socket. It gets a few hundredths of a
#    core, others the rest. The true TTFT is about 300 ms at the median. What does it report?
# 2. Another client, no better off, takes the time at which the *kernel* received the packet. What
#    does that one report?
# 3. Four well-known tools look at the very same requests. For which of TTFT, ITL, TPOT, E2E do
#    their numbers differ, and by how much at most?

# %% [markdown]
# ## Run
#
# First, how good is the lab's client when nothing disturbs it? `lab calibrate` puts a closed loop
# on a reference server, level by level (here one level, of 64 streams at once). True and measured
# are quantiles of the same requests.

# %%
levels = instruments.calibrate(64)

# %% [markdown]
# Now a reference server of our own, a slow one: 400 ms from token to token, so that each travels
# alone. And two clients: the lab's, and one that a colleague might write in an afternoon
# (`notebooks/plain_client.py`). Both do the same, 24 users in a closed loop. First with the machine
# to themselves.

# %%
server = kit.up("reference", gap_ms=400.0)
calm = kit.load(server, users=24, seconds=6, warmup=1, tokens=5)

# %%
seen = {"lab, calm": instruments.truth(server, calm)}
kit.forget(server)
seen["by hand, calm"] = instruments.by_hand(server, users=24, seconds=5, tokens=5)

# %% [markdown]
# Then once more, starved: as soon as its load has begun, a client has to share one core with two
# programs that never rest and go before it. The server is left alone. It draws its TTFTs by a seed,
# and `forget` lets it begin anew, so all four loads meet the same answers in the same order.

# %%
hungry = instruments.load_starved(server, users=24, seconds=6, warmup=1, tokens=5)
seen["lab, starved"] = instruments.truth(server, hungry)

# %%
kit.forget(server)
with instruments.starved(server):
    seen["by hand, starved"] = instruments.by_hand(server, users=24, seconds=5, tokens=5)

# %% [markdown]
# ## Look
#
# How much later than it was sent did each client believe to have the first token? The further left,
# the better the clock; mind the axis.

# %%
kit.show(
    figures.errors({name: one.error_s for name, one in seen.items()}),
    "Share of requests whose TTFT was measured too high by no more than a time, four clients",
)

# %%
instruments.accuracy(seen)

# %% [markdown]
# And what the lab says of its own client, calm and starved. At 400 ms a token it needs very little
# of a core: if its numbers held, *valid* is right, however hungry it was.

# %%
for name, run in (("calm", calm), ("starved", hungry)):
    client = run.summary["client"]
    print(f"{name}: {client['verdict']}", *client["reasons"], sep="\n  ")

# %% [markdown]
# ## Explain
#
# ### Who holds the clock
#
# Between the packet's arrival and the moment the program reads it lies a queue: for a core, and
# inside the program for its turn. A clock read after the read counts that queue as the server's
# time. The kernel stamps the packet as it comes in, before any queue.
#
# The stamp has a limit. Packets that wait together are read together, and only the last one's stamp
# is left. So it is good as long as the client comes round between a token and the next. Take the
# usual 20 ms a token instead of 400, and the same hunger:

# %%
fast = kit.up("reference")
piled = instruments.load_starved(fast, users=16, seconds=6, warmup=1, tokens=32)
seen["lab, starved, 20 ms a token"] = instruments.truth(fast, piled)

# %%
instruments.read_together({"400 ms a token": hungry, "20 ms a token": piled})
instruments.accuracy({name: one for name, one in seen.items() if "lab, starved" in name})

# %% [markdown]
# Hold the two shares against the two rows: where few first tokens were read together with the next,
# the kernel's clock is right however late the program was.
#
# The lab counts such reads and says so in its verdict. That is what a verdict is for: not that
# nothing goes wrong, but that you hear of it.
#
# ### Open or closed is a property of the client
#
# Stamps protect what arrives, not what is sent: a client that waits for a core also sends late. In
# a closed loop that leaves no trace. There is no timetable, so no request is ever late. And the
# rate does not tell either: each user asks when the answer is there, so it follows the answers, and
# it counts a few seconds of long ones.

# %%
instruments.asked({"calm": calm, "starved": hungry})
print(f"Starved against calm: {instruments.apart(hungry, calm)}.")

# %% [markdown]
# A rate that went down could be a slower server or a starved client, and one that went up, chance.
# Nothing in a closed loop's numbers says which.
#
# Now requests come by a timetable. What the client is late by is on record: *schedule delay*, sent
# minus scheduled. TTFT from schedule has it in, TTFT does not.

# %%
server = kit.up("reference", gap_ms=400.0)
late = instruments.load_starved(server, rate=20, seconds=7, warmup=2, tokens=5)

# %%
kit.compare(late, quantities=("ttft_s", "ttft_from_schedule_s", "schedule_delay_s"))

# %%
instruments.accuracy({"open loop, starved": instruments.truth(server, late)})

# %%
client = late.summary["client"]
print(client["verdict"], *client["reasons"], sep="\n  ")

# %% [markdown]
# In a closed loop the load depends on the server and on the client, and neither says so. In an open
# loop whatever comes late is in the numbers, and who caused it can be told apart: TTFT is the
# server's, schedule delay the client's. What the closed loop is good for: to ask how much a fixed
# number of users can get.
#
# ### One run, five tools
#
# Give one run to people with different tools, and they come back with different numbers, even if
# all stamps are right: the words mean different things. To see it, let the reference server send
# four tokens in each chunk, as servers do with speculative decoding. Its pace is known: 20 ms a
# token.

# %%
chunky = kit.up("reference", tokens_per_chunk=4)
one_run = kit.load(chunky, users=16, seconds=6, warmup=1, tokens=33)

# %%
table = instruments.definitions(one_run)
table

# %% [markdown]
# *same* means that the tool would have given the lab's number, *≤* that or less, a dash that it has
# no such number or too few requests for it. Which column has the 20 ms a token? How far apart are
# they at most? Of each metric, at the mean or a percentile, the reading furthest from the lab's:

# %%
instruments.furthest(one_run, "ttft_s", "itl_s", "tpot_s", "e2e_s")

# %% [markdown]
# And the reasons, of rates as well. A rate is a count divided by seconds, and the tools disagree
# about both: whose tokens count, and when the seconds begin and end.

# %%
instruments.reasons(one_run, "ttft_s", "itl_s", "tpot_s", "output_tokens_per_s", "requests_per_s")

# %% [markdown]
# The first chunk brings several tokens at once. Whoever divides the rest of the time by all tokens
# but one gets less than the true pace; whoever takes a chunk for a token gets more. None of these
# definitions is a mistake in itself. The mistake is to hold a number from one tool against a number
# from another. Ask for the definition first; better, use one tool for both sides.

# %% [markdown]
# ## Exercise
#
# 1. `worst_ms`: of all requests that the client written by hand sent while it was starved, the
#    largest error of a TTFT, in milliseconds. `seen[...]` has `true_s` and `measured_s`.
# 2. `share`: which part of the mean TTFT from schedule of `late` is the client's own delay? A
#    number from 0 to 1.
# 3. `odd`: the tool whose median TPOT of `one_run` is furthest from the lab's, by its name in the
#    table above.

# %%
### BEGIN SOLUTION
by_hand = seen["by hand, starved"]
worst_ms = (by_hand.measured_s - by_hand.true_s).max() * 1e3
means = (late.summary[key]["mean"] for key in ("schedule_delay_s", "ttft_from_schedule_s"))
share = next(means) / next(means)
odd = "guidellm"
### END SOLUTION
print(checks.largest_error(by_hand, answer_ms=worst_ms).require())
print(checks.client_share(late, answer=share).require())
checks.furthest_tool(one_run, metric="tpot_s", level="p50", answer=odd).require()

# %% [markdown]
# ## Summary
#
# - An instrument is believed after it was held against something known, on this machine, at this
#   load: `lab calibrate`.
# - A busy client adds its own wait to TTFT unless the kernel holds the clock; and even then it
#   sends late. Read the verdict before the numbers.
# - A number without its definition cannot be compared. `lab compare --definitions` shows one run
#   in the words of other tools.

# %%
kit.down()
