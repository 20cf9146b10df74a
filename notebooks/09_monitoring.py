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
# # 09 · Monitoring
#
# **Goal:** read a server's `/metrics`, write the PromQL of a dashboard by hand, say how far a
# percentile from a histogram can be off, and let an alert wake you for the right reason.
#
# **Minutes:** 25 to read and think. The machine needs about one and a half on two CPU cores.
#
# A load test sees its own requests and keeps every one. In production nobody keeps them: servers
# count, Prometheus reads the counts now and then, and a dashboard computes percentiles from what is
# left. Here both look at the same requests, so that you can see what gets lost on the way.

# %%
from dashboard.promql import Span
from measure.quantiles import quantile
from notebooks import checks_monitoring, kit, monitoring

# %% [markdown]
# ## Predict
#
# 1. Guides say: the name of a counter ends in `_total`. Of Triton's counters, how many do?
# 2. A server's histogram begins with "at most 0.32 s", as vLLM's own does (with 0.3 s). Almost all
#    answers take about 25 ms. What median will a dashboard draw?
# 3. Two replicas of one service. One gets ten times as many requests as the other, and is quick;
#    the other is slow. Is the mean of their p99s above or below the p99 of all requests? And the
#    mean of their medians?
# 4. You promised that 99% of requests are answered within 200 ms. Requests come far too fast for
#    six seconds out of 24. How many times too fast do you use up what the promise allows?

# %% [markdown]
# ## Run
#
# Triton is the real thing with a page of its own making. The lab's batcher (FastAPI, the Python
# client of Prometheus) runs twice, as two replicas of one service: the second has a queue delay
# that somebody set much too long. All of them serve the same small text classifier.

# %%
triton = kit.up("triton", models="text_classifier")

# %%
replica = kit.up("fastapi-batcher", max_batch_size=1, max_queue_size=64)
second = kit.up(
    "fastapi-batcher", name="fastapi-batcher-2", max_batch_size=8, max_queue_delay_us=250_000
)

# %% [markdown]
# A calm load on each of the three, then a bad one: 25 requests a second, and for six seconds twelve
# times as many, which is more than one replica can answer. While it goes on the second replica has
# nothing to do, and for four seconds its process is stopped, as a machine short of memory may stop
# it.

# %%
asked = kit.load(triton, text_tokens=32, rate=60, seconds=6, warmup=1)

# %%
quick = kit.load(replica, text_tokens=32, rate=30, seconds=8, warmup=1)

# %%
slow = kit.load(second, text_tokens=32, rate=3, seconds=8, warmup=1)

# %%
monitoring.freeze(second, after_s=9, for_s=4)
flooded = kit.load(replica, text_tokens=32, rate=25, spike=(300, 8, 6), seconds=24, warmup=1)

# %% [markdown]
# ## Look
#
# What Prometheus gets when it asks: a page of text, here once a second.

# %%
pages = {one.name: monitoring.page(one) for one in (triton, replica)}
monitoring.count_kinds(pages)

# %%
for name in ("nv_inference_count", "nv_cpu_utilization", "nv_inference_request_summary_us"):
    print(monitoring.lines_of(pages["triton"], name), "\n")
some = r'(le="0\.[1-8]"|le=".Inf"|_sum|_count).*"/classify",status="200"'
print(monitoring.lines_of(pages["fastapi-batcher"], "model_request_latency_seconds", some))

# %% [markdown]
# - A **counter** only grows. Its value says nothing; what it grew by says all.
# - A **gauge** goes up and down: what is the case at this moment. Between two looks it may have
#   been anything.
# - A **histogram** is a row of counters, one for each upper bound `le`, each counting *all* values
#   up to that bound, and with them the count and the sum of all.
# - A **summary** has quantiles that the server computed itself, over its last minutes. It cannot be
#   added to another server's, nor asked for another limit or another time.
#
# The page says the kind in its `# TYPE` line. The name does not:

# %%
for name, text in pages.items():
    counters = [one for one in monitoring.families(text) if one.kind == "counter"]
    without = monitoring.counters_without_total(text)
    print(f"{name}: {len(counters)} counters, {len(without)} without _total at the end.")

# %% [markdown]
# (And vLLM's `iteration_tokens_total` is a histogram.) `rate()` of a gauge and a bare counter on a
# panel are the commonest mistakes of home-made dashboards, and no error message will tell you.
#
# Now the bad load, as the dashboard draws it: the panel *E2E in the engine* with its own query. The
# band is what the buckets say of the p90, the line is the p90 of the records. (Where all changes
# within a second, one may be ahead of the other: the scrape came before the second was over.)

# %%
drawn = monitoring.panel("e2e", replica, flooded, 0.9)
kit.show(
    drawn.figure,
    "The p90 of E2E over the bad load: a band from the server's buckets, a line from the records",
)
print(*drawn.queries, sep="\n")

# %% [markdown]
# ## Explain
#
# ### PromQL by hand
#
# Read the query above from the inside out: take the buckets of some instances; `rate(…[5s])`, by
# how much did each grow a second, over the last five seconds; `sum by (instance, le)`, add up the
# series that differ in anything else. Now the simplest one by hand: how many requests Triton
# answered a second, over its load.

# %%
span = monitoring.span_of(asked)
COUNT = 'nv_inference_request_success{model="text_classifier"}'
for query in (COUNT, f"rate({COUNT}[{monitoring.length(span)}])"):
    print(f"{monitoring.number(query, span.end_s):.1f} = {query}")
print(f"The load test sent {asked.records.num_rows} requests in these {monitoring.length(span)}.")

# %% [markdown]
# The first number is all requests since the server started, the warm-up's too. The second is what
# you want, and no exact number: it counts from the first scrape in the window to the last, and adds
# for the edges what would have come there *at the same rate*. Multiply it by the seconds: at the
# edges of this window nothing came. In the middle of a steady load the same assumption is right.
#
# **How long is the window?** A rate needs two scrapes in it, and scrapes get lost. Guides say: at
# least four times the scrape interval. The second replica stood still for four seconds. For how
# many seconds can each window say anything?

# %%
during = monitoring.span_of(flooded)
CPU = 'rate(process_cpu_seconds_total{instance="fastapi-batcher-2"}[WINDOW])'
monitoring.answered(CPU, (1, 2, 3, 4, 5, 10), during)

# %% [markdown]
# A longer window has fewer holes, and smears what happened over more time. The dashboard takes five
# scrapes: four, and one that may be late.
#
# **Nothing comes in several kinds.** Look at that replica second by second, around the time when it
# stood still:

# %%
of = '{instance="fastapi-batcher-2",route="/classify"}'
ended, took = f"sum(rate(model_requests_total{of}[5s]))", "model_request_latency_seconds"
silent = {
    "up": 'up{instance="fastapi-batcher-2"}',
    "waiting now": 'batcher_requests_waiting{instance="fastapi-batcher-2"}',
    "requests a second": ended,
    "mean": f"sum(rate({took}_sum{of}[5s])) / sum(rate({took}_count{of}[5s]))",
}
around = Span(during.start_s + 5, during.start_s + 15, 1)
monitoring.moments(silent, around)

# %% [markdown]
# - `up` is 0: Prometheus asked and got no answer. This series is Prometheus' own, and the only one
#   that is there *because* something is missing. Alert on it.
# - *(no series)*: nobody said anything, so there is nothing. It is not zero. An alert on
#   `waiting > 10` stays silent, most of all when the server is dead.
# - `0`: it answers, and nothing happened.
# - `NaN`: nothing divided by nothing. An idle server has no mean and no percentile. A dashboard
#   that draws 0 ms there draws the best server you have.

# %% [markdown]
# ### A percentile from buckets is a bound
#
# A histogram forgets where inside a bucket a value lay. `histogram_quantile` answers all the same:
# it draws a straight line through the bucket. Here are the same requests by three histograms. The
# first is the batcher's own, with ten bounds to a decade. The others leave some of its buckets
# out, which is exactly what a server with fewer bounds would export: those nearest to the default
# of Prometheus' Python client, and those nearest to vLLM's for E2E.

# %%
span = monitoring.span_of(quick)
CLIENT = r"0\\.005|0\\.01|0\\.025|0\\.05|0\\.1|0\\.25|0\\.5|1\\.0|2\\.5|5\\.0|10\\.0|\\+Inf"
VLLM = r"0\\.32|0\\.5|0\\.8|1\\.0|2\\.0|2\\.5|5\\.0|10\\.0|20\\.0|\\+Inf"
BUCKETS = """sum by (le) (increase(model_request_latency_seconds_bucket{
  instance="fastapi-batcher", route="/classify", status="200", le=~"BOUNDS"}[LENGTH]))"""
BUCKETS = BUCKETS.replace("LENGTH", monitoring.length(span))
names = {"ten a decade": ".*", "as the Python client's": CLIENT, "as vLLM's": VLLM}
histograms = {name: BUCKETS.replace("BOUNDS", bounds) for name, bounds in names.items()}
exact = monitoring.e2e_s(quick)
readings = monitoring.read_buckets(exact, histograms, (0.5, 0.9, 0.99), span.end_s)
monitoring.readings_table(readings)

# %% [markdown]
# With vLLM's bounds everything that is quick lies in the first bucket, from nothing to 0.32 s.
# Where all of it does, the "median" is half of that bound and the "p99" 99% of it: **they are made
# of the bucket and hold nothing of your server.** They would not move if it got ten times faster.
# So the lab starts vLLM with finer bounds (`--custom-histogram-buckets`), and its dashboard shows
# the bucket, never a number inside it.
#
# Fine buckets are off as well, by at most the bucket's width. And there is a second difference:
# the server's clock starts when *it* sees the request, the client's when it was sent. Sum and
# count of a histogram are exact, whatever the buckets, so the means show how much that is:

# %%
which = '{instance="fastapi-batcher", route="/classify", status="200"}'
window = f"{which}[{monitoring.length(span)}]"
mean = f"increase({took}_sum{window}) / increase({took}_count{window})"
print(mean)
inside_ms, outside_ms = monitoring.number(mean, span.end_s) * 1e3, exact.mean() * 1e3
print(f"Mean in the server {inside_ms:.1f} ms, at the client {outside_ms:.1f} ms.")
held = [one for one in readings if one.buckets == "ten a decade" and one.bounds]
inside = sum(one.bounds.lower < one.exact_s <= one.bounds.upper for one in held)
print(f"The fine bucket holds the client's own number for {inside} of {len(held)} quantiles.")

# %% [markdown]
# Where it does not, the time between the two clocks has pushed the client's number into the next
# bucket. What users feel is the client's.
#
# ### Percentiles do not average over instances
#
# Guides say it, dashboards do it: `avg(histogram_quantile(…))`. Two replicas, both calm loads:

# %%
both = monitoring.span_of(quick, slow)
of = '{route="/classify", status="200", instance=~"fastapi-batcher.*"}'
of = f"{of}[{monitoring.length(both)}]"
each = f"sum by (instance, le) (increase({took}_bucket{of}))"
whole = f"sum by (le) (increase({took}_bucket{of}))"
for level in (0.5, 0.99):
    exact_ms = quantile(monitoring.e2e_s(quick, slow), level) * 1e3
    mean_of = monitoring.number(f"avg(histogram_quantile({level}, {each}))", both.end_s) * 1e3
    summed = monitoring.number(f"histogram_quantile({level}, {whole})", both.end_s) * 1e3
    print(f"p{level * 100:g}: records {exact_ms:.0f} ms, mean of the replicas' {mean_of:.0f} ms,")
    print(f"  buckets added up first {summed:.0f} ms.")

# %% [markdown]
# The mean weighs a replica that answers three requests a second like one that answers thirty. So
# the median comes out too high and, as one request in eleven is slow, the p99 too low; with other
# shares it would be another way round, and nothing in the number tells which. Buckets are
# counts, and counts may be added: `sum by (le)` first, the quantile last. A summary cannot be added
# up at all: that is why Triton's p99s of several servers can only be shown side by side.

# %% [markdown]
# ### An alert that means something
#
# *Latency is high* is no reason to wake anybody. An **SLO** is: "99% of requests are answered
# within 200 ms." It leaves a budget of 1% of requests. The **burn rate** is how many times faster
# than allowed it is used up: 1 spends it exactly over the month. It needs no percentile. It needs
# one bound of a histogram at 200 ms, and two counters:

# %%
GOOD = f'{took}_bucket{{instance="fastapi-batcher",route="/classify",status="200",le="0.2"}}'
ALL = 'model_requests_total{instance="fastapi-batcher",route="/classify"}'
burn = f"(1 - sum(rate({GOOD}[WINDOW])) / sum(rate({ALL}[WINDOW]))) / 0.01"
short, long = burn.replace("WINDOW", "5s"), burn.replace("WINDOW", "25s")
alert = f"({short} > 14.4) and ({long} > 14.4)"
print(burn)

# %% [markdown]
# An alert on a short window alone wakes you for every hiccup; on a long one alone it comes late and
# goes on ringing when all is well. So the alert asks for both (Google's SRE workbook, chapter 5):
# the long window says that it matters, the short one that it goes on. There it is an hour and five
# minutes; the lab's rule has five minutes and one; here it is 25 seconds and 5, as your load is
# that short. 14.4 is the rate that spends 2% of a month's budget in an hour.

# %%
named = {"5 s": short, "25 s": long, "limit": "vector(14.4)"}
shapes = monitoring.curves({k: monitoring.over_time(q, during) for k, q in named.items()})
shapes.append(monitoring.burn_of_records(flooded, 0.2, 0.01, 5, during))
kit.show(
    monitoring.timeline(shapes, "burn rate (times too fast)", during),
    "Burn rate over the bad load by a short and a long window, from the records, and the limit",
)

# %%
ours, its = monitoring.over_time(alert, during), 'instance="fastapi-batcher",alertstate="firing"'
fast = f'last_over_time(ALERTS{{alertname="SloBurnsFast",slo="e2e",{its}}}[6s])'
rule = monitoring.over_time(fast, during)
for name, series in (("the query above", ours), ("the lab's rule SloBurnsFast", rule)):
    seconds = monitoring.held_s(series)
    ends = [series.times_s[i] - during.start_s for i in (0, -1)] if seconds else []
    when = ", from second {:.0f} to {:.0f}".format(*ends) if seconds else ""
    print(f"{name}: fired for {seconds:.0f} s of {monitoring.length(during)}{when}.")

# %% [markdown]
# The lab's rule has a minute for its short window: it goes on until the flood is a minute past. (It
# is asked with `last_over_time(…[6s])` because rules are looked at every five seconds, and a plain
# query goes back up to five minutes for a value: of a Prometheus that was stopped while it alerted,
# it would find an alert that nobody keeps up.) Now hold the counters against the records:

# %%
refused = [text == "http_error" for text in flooded.records.column("status").to_pylist()]
TOLD = 'sum(increase(model_requests_total{instance="fastapi-batcher",status="429"}[WINDOW]))'
seen, spent = (
    monitoring.number(query.replace("WINDOW", monitoring.length(during)), during.end_s)
    for query in (TOLD, burn)
)
good = monitoring.good(flooded, 0.2)
print(f"By the records {sum(refused)} requests were refused; increase() saw {seen:.0f}.")
print(f"Burn rate over the whole load: {(1 - good.mean()) / 0.01:.0f} by the records, ", end="")
print(f"{spent:.0f} by the counters.")

# %% [markdown]
# A series that is born with its first error has no value before it, so its first step is not seen
# as growth: `rate` and `increase` miss whatever came before its first scrape. A server should
# export its error counters as zeros from the start, as Triton does. (Where `increase` saw more than
# there were, errors had come before, and the edges of its window were filled up as above.)
#
# And notice what a latency panel alone would have shown of the flood: refused requests are quick
# and stand in no latency histogram. Count them as bad, or overload looks like good weather.

# %% [markdown]
# ## Exercise
#
# 1. `query`: PromQL for the **p90 of both replicas together**, over the span of the two calm loads
#    (`monitoring.length(both)`). One number, of the `/classify` requests that were answered (200).
# 2. `burnt`: the burn rate of `flooded` over all of its requests, if the promise were 99.9% within
#    200 ms. `monitoring.good(flooded, 0.2)` says which requests kept it.
# 3. `hours`: at that rate, after how many hours is a budget of 30 days used up?

# %%
### BEGIN SOLUTION
query = f"histogram_quantile(0.9, {whole})"
burnt = (1 - monitoring.good(flooded, 0.2).mean()) / 0.001
hours = 30 * 24 / burnt
### END SOLUTION
print(checks_monitoring.together(query, (quick, slow), level=0.9).require())
checks_monitoring.burnt(
    flooded, limit_s=0.2, objective=0.999, days=30, burn=burnt, hours=hours
).require()

# %% [markdown]
# ## Summary
#
# - Counters are read by `rate` over at least four scrapes, gauges as they are, histograms as
#   `sum by (le)` of rates and then a quantile; nothing, zero, NaN and `up == 0` are four things.
# - A percentile from buckets is known to lie in a bucket and no better. It is added up before and
#   never averaged after.
# - Alert on the budget that users were promised, over a long and a short window, and count refused
#   requests as bad.

# %%
kit.down()
