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
# # 02 · Tails
#
# **Goal:** explain what a p99 says that a mean does not, why a load test can fail to see a server
# that stands still, why many calls make rare slowness common, why percentiles do not average, and
# how many requests a p99.9 needs.
#
# **Minutes:** 25 to read and think. The machine needs about one and a half on two CPU cores.
#
# You measure one tail yourself, on a real engine. For the rest the truth has to be known, or nobody
# could say which number is right. So the lab has a *reference server*. It is no model: it sends
# words at times it was told to, and writes down when it really sent them.

# %%
import math
from statistics import NormalDist

from measure.quantiles import interval_ranks
from notebooks import checks, figures, kit, tails

# %% [markdown]
# ## Predict
#
# p99 is the value that 99 of 100 requests do not exceed. Write your guesses down before you go on:
#
# 1. One call in a hundred is slow. A page needs 20 calls, one after another. How many pages in a
#    hundred have a slow call in them?
# 2. A server answers in 50 ms. In the middle of a test it stands still for 3 seconds. Ten users ask
#    it, each waits for the answer and asks again. What is their p99? Now requests come by a
#    timetable, as many a second as before. What is the p99 now?
# 3. A dashboard draws one p99 for each second. Is the mean of that curve above or below the p99 of
#    all requests?
# 4. How many requests must a test have before its p99.9 means anything?

# %% [markdown]
# ## Run
#
# First the real engine. Requests come at random, four a second on average, whatever the server
# does: an *open loop* with Poisson arrivals. Each asks for four tokens.

# %%
vllm = kit.up("vllm")

# %%
tail = kit.load(vllm, rate=4, seconds=14, warmup=2, tokens=4)

# %% [markdown]
# Then the reference server. Its TTFT is drawn from a lognormal distribution with a median of 50 ms
# and a heavy tail. `ttft_tail` is sigma, the spread of the logarithm. Many short answers, so that
# the tail has something to be made of.

# %%
known = kit.up("reference", ttft_ms=50.0, ttft_tail=0.65)

# %%
heavy = kit.load(known, rate=450, seconds=11, warmup=1, tokens=1)

# %% [markdown]
# And once more, now with every answer after 50 ms, but with a standstill: 4 seconds after the first
# request the whole server stops for 3 seconds. (That first request is the load test's own: it asks
# one thing to see that the server answers, and starts its clock a moment later. So in the picture
# the standstill begins a little before 4 s.) Ten users who get their answers after 50 ms ask 200
# times a second together. The open loop asks as often.

# %%
stalled = kit.up("reference", ttft_ms=50.0, ttft_tail=0.0, stall_after_s=4.0, stall_for_s=3.0)
closed = kit.load(stalled, users=10, seconds=13, warmup=1, tokens=1)

# %% [markdown]
# The server counts the 4 seconds from its first request. It shall stand still in the second run
# too, so it has to forget the first. (When it goes on, hundreds of answers come at once. If the
# verdict says that requests then left some milliseconds late, that is on record as well: notebook
# 13 is about it.)

# %%
kit.forget(stalled)
scheduled = kit.load(stalled, rate=200, seconds=13, warmup=1, tokens=1)

# %% [markdown]
# ## Look
#
# The tail of the real engine, and beside it the one that we made up.

# %%
kit.show(
    kit.tails(tail, heavy, quantity="ttft_from_schedule_s"),
    "TTFT of vLLM and of the reference server against the percentile of requests",
)

# %%
kit.compare(tail, heavy, quantities=("ttft_from_schedule_s",))

# %% [markdown]
# The two runs against the server that stood still, one dot a request. Look for the seconds in which
# a run has no dots.

# %%
kit.show(
    kit.moments(scheduled, closed, quantity="ttft_from_schedule_s"),
    "TTFT from schedule when each request was wanted, in open and closed loop, one standstill",
)

# %%
kit.compare(closed, scheduled, quantities=("ttft_s", "ttft_from_schedule_s"))

# %% [markdown]
# ## Explain
#
# ### The mean is nobody's latency
#
# A few slow requests pull the mean up, and no user gets the mean. The median says what the usual
# user sees, a far percentile what the unlucky one sees.

# %%
for name, run in (("vllm", tail), ("reference", heavy)):
    _, ttft_s = kit.values(run, "ttft_from_schedule_s")
    told = run.summary["ttft_from_schedule_s"]
    slower = (ttft_s > told["mean"]).mean()
    print(f"{name}: mean {told['mean'] * 1e3:.0f} ms, median {told['p50'] * 1e3:.0f} ms.")
    print(f"  {slower:.0%} of requests were slower than the mean.")
    print(f"  One in twenty took {told['p95'] / told['p50']:.1f} medians or more.")

# %% [markdown]
# ### A test that waits does not see the wait
#
# Both runs met the same standstill. In the closed loop each of the ten users had one request under
# way, waited, and asked nothing in the meantime. So 3 lost seconds leave ten slow records among
# a thousand fast ones and more. In the open loop everyone who *wanted* an answer in those seconds
# is in the record, with the time from when it was wanted. Leaving them out is called
# **coordinated omission**: the load generator lets the server tell it when not to look.

# %%
for name, run in (("closed loop", closed), ("open loop", scheduled)):
    wanted_s, ttft_s = kit.values(run, "ttft_from_schedule_s")
    slow = int((ttft_s > 1).sum())
    print(f"{name}: {wanted_s.size} requests counted, {slow} of them slower than a second.")
assert closed.summary["ttft_s"]["p99"] < 1 < scheduled.summary["ttft_from_schedule_s"]["p99"]

# %% [markdown]
# The last line is a claim under test: the closed loop's p99 is below one second, the open loop's
# above. It would have stopped this notebook if it were not so on your machine. Nothing is wrong
# with the ten records. What is wrong is to take the closed loop's p99 for what users would have
# seen, when users do not wait for each other. A closed loop answers another question: how fast can
# ten go that do wait?

# %% [markdown]
# ### Many calls make the rare common
#
# An agent, or a page, makes several calls one after another. It is slow as soon as one of them is.
# Count a call as slow if it is beyond the p99. If calls are independent, n of them are all fast
# with probability (1 − 0.01)ⁿ. Two tests of that formula: pages of calls drawn at random from your
# run, and pages of calls as they followed each other in it.

# %%
_, ttft_s = kit.values(heavy)
amplified = tails.amplification(ttft_s, [1, 2, 5, 10, 20, 50, 100, 200])
kit.show(
    figures.amplification(amplified),
    "Share of pages with at least one call beyond the p99, against the number of calls of a page",
)

# %%
twenty = amplified.calls.index(20)
print(f"With 20 calls, {amplified.resampled[twenty]:.0%} of pages drawn at random are slow,")
print(f"{amplified.in_order[twenty]:.0%} of pages as they came, and the formula says ", end="")
print(f"{amplified.independent[twenty]:.0%}.")
print(f"Pages as they came: {amplified.pages[twenty]} of 20 calls", end="")
for place in (-2, -1):
    print(f", {amplified.pages[place]} of {amplified.calls[place]}", end="")
print(".")

# %% [markdown]
# The pages as they came are cut from one run: the longer the page, the fewer of them. A few dozen
# pages can lie ten points off the formula by chance alone, so do not read much into the dots at the
# right. Of pages drawn at random there are 20,000 of each length.

# %% [markdown]
# The reference server draws each time anew, so neighbours have nothing in common. In a real server
# slow requests come together: they wait in one queue. The standstill is the extreme case.

# %%
_, ttft_s = kit.values(scheduled, "ttft_from_schedule_s")
together = tails.amplification(ttft_s, [20], level=0.9)
print(
    f"One call in ten is slow. Of pages of 20 calls as they came, {together.in_order[0]:.0%} ",
    end="",
)
print(f"are slow; the formula says {together.independent[0]:.0%}.")

# %% [markdown]
# Where the share as they came is lower, fewer pages are hit, and those are hit by many slow calls.
#
# ### Percentiles do not average
#
# A dashboard that keeps a p99 for each second, or each instance, and then shows their mean, gives
# every second the same weight. But the slow requests are all in a few of them.

# %%
wanted_s, ttft_s = kit.values(scheduled, "ttft_from_schedule_s")
seconds = tails.by_piece(wanted_s, ttft_s, level=0.99, piece_s=1.0)
mean_s, whole_s = tails.mean_of_pieces(seconds), scheduled.summary["ttft_from_schedule_s"]["p99"]
kit.show(
    figures.pieces(seconds, mean_s, whole_s, "p99 of TTFT from schedule"),
    "The p99 of each second of the open loop, their mean, and the p99 of all requests",
)
print(f"The mean of the {seconds.value_s.size} p99s is {mean_s:.2f} s, the p99 is {whole_s:.2f} s.")

# %% [markdown]
# No arithmetic on the bars gives the right line back: what is needed is gone. Keep the records, as
# this lab does, or histograms, which can be added up, and take the percentile last.
#
# ### How many requests a percentile needs
#
# The lab gives a 95% interval with each percentile: two of the measured values, chosen by rank so
# that the true one lies between them 19 times in 20. Because the truth is known here, that can be
# checked. The next cell holds the intervals of your run against the distribution that the server
# draws from. One in twenty may miss it, and with four of them that is one notebook in five.

# %%
told, normal = heavy.summary["ttft_s"], NormalDist()
for name, level in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p999", 0.999)):
    true_s, interval = 0.050 * math.exp(0.65 * normal.inv_cdf(level)), told["ci95"][name]
    if interval is None:
        print(f"{name}: {told['count']} requests carry no interval.")
        continue
    holds = "holds" if interval[0] <= true_s <= interval[1] else "does not hold"
    between = " to ".join(f"{edge * 1e3:.1f}" for edge in interval)
    print(f"{name}: {between} ms {holds} the true {true_s * 1e3:.1f} ms.")

# %% [markdown]
# Now draw smaller and larger samples from your records, many of each size, and look how wide the
# interval is. The smallest sample drawn has 100 requests. A p99 or p99.9 has no interval in it: its
# line begins at the first size drawn that carries one. p50 and p90 have theirs from far fewer
# requests on, as the legend says.

# %%
_, ttft_s = kit.values(heavy)
sizes = [100, 200, 368, 750, 1_500, 3_688, 7_500, 15_000, 30_000]
widths = [tails.interval_width(ttft_s, level, sizes) for level in (0.5, 0.9, 0.99, 0.999)]
kit.show(
    figures.widths(widths),
    "Width of the 95% interval, in parts of the percentile, against the number of requests",
)

# %% [markdown]
# An interval as wide as the percentile itself does not tell good from bad. Each halving of the
# width costs four times the requests; each further nine costs ten times as many. And that is for
# independent requests: where neighbours resemble each other, as in the convoys of a batching
# engine, a thousand requests may be worth a hundred. The column *effective_count* of a run's
# summary says how many.

# %% [markdown]
# ## Exercise
#
# 1. `calls`: how many calls to vLLM, one after another, does it take until more often than not at
#    least one of them is slow? Slow is a TTFT beyond the p90 of `tail`; take the share of slow
#    requests from the run (`kit.values(tail)`), and calls as independent.
# 2. `slower`: the share of counted requests with a TTFT from schedule above one second, first in
#    `closed`, then in `scheduled`, as a pair such as `(0.25, 0.5)`.
# 3. `needed`: the least number of independent requests with which a p99.5 has an interval.
#    `interval_ranks(n, 0.995)` is `None` while it has none.

# %%
### BEGIN SOLUTION
_, ttft_s = kit.values(tail)
share = (ttft_s > tail.summary["ttft_s"]["p90"]).mean()
calls = math.ceil(math.log(0.5) / math.log(1 - share))
delays = [kit.values(run, "ttft_from_schedule_s")[1] for run in (closed, scheduled)]
slower = tuple((delay > 1).mean() for delay in delays)
needed = next(n for n in range(1, 10_000) if interval_ranks(n, 0.995))
### END SOLUTION
print(checks.serial_calls(tail, level="p90", answer=calls).require())
print(checks.slower_shares((closed, scheduled), limit_s=1.0, answer=slower).require())
checks.least_requests(level=0.995, answer=needed).require()

# %% [markdown]
# ## Summary
#
# - A far percentile of an open loop, counted from the schedule, is what users see. A closed loop
#   sends nothing while the server stands still, and so forgets those who would have waited.
# - Slow calls add up along a chain and hide in averages: neither a mean of latencies nor a mean of
#   percentiles tells of them.
# - A percentile without its interval is a guess. Count requests, not minutes: 36 for a p90, 368 for
#   a p99, 3,688 for a p99.9, and more where requests resemble each other.

# %%
kit.down()
