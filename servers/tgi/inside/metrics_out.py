"""TGI's metrics: its names, types and buckets.

Source: TGI's `router/src/server.rs` and `backends/v3/src/backend.rs`. A family without labels is
there from the start, at 0; TGI's appears with its first value.
"""

import re

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

METHODS = ("prefill", "decode")
REASONS = ("backpressure", "wait_exceeded")
FAILURES = ("validation", "overloaded", "generation", "incomplete", "dropped", "template")
DURATION_BUCKETS_S = [0.0001 * 1.5**power for power in range(1, 36)]
_CLIENTS_SUFFIX = re.compile(rb"^((?:# (?:HELP|TYPE) )?tgi_\w+)_total(?=[ {])", re.MULTILINE)


def _shares(whole):
    """A hundred buckets up to `whole`."""
    return [whole / 100 * (share + 1) for share in range(100)]


class Metrics:
    """One attribute a family."""

    def __init__(self, max_input_tokens, max_total_tokens):
        disable_created_metrics()
        self._registry = CollectorRegistry()
        self._count_requests()
        self._count_batches()
        durations = ("request", "request_validation", "request_queue", "request_inference",
                     "request_mean_time_per_token")  # fmt: skip
        self.durations = {
            one: self._histogram(f"tgi_{one}_duration", DURATION_BUCKETS_S) for one in durations
        }
        total = _shares(max_total_tokens)
        self.input_length = self._histogram("tgi_request_input_length", _shares(max_input_tokens))
        self.generated_tokens = self._histogram("tgi_request_generated_tokens", total)
        self.max_new_tokens = self._histogram("tgi_request_max_new_tokens", total)

    def _count_requests(self):
        counter = self._counter
        self.requests = counter("tgi_request_count", "Requests that arrived")
        self.successes = counter("tgi_request_success", "Requests answered")
        self._failures = counter("tgi_request_failure", "Requests not answered", "err", FAILURES)
        self.queue_size = Gauge(
            "tgi_queue_size", "Requests that wait for a batch", registry=self._registry
        )

    def _count_batches(self):
        gauge = {"registry": self._registry}
        self.current_size = Gauge("tgi_batch_current_size", "Requests in the batch", **gauge)
        self.current_max_tokens = Gauge(
            "tgi_batch_current_max_tokens", "Tokens the batch can come to hold", **gauge
        )
        counter, histogram = self._counter, self._histogram
        self.concats = counter("tgi_batch_concat", "Joins, by reason", "reason", REASONS)
        by_method = ("method", METHODS)
        self.inferences = counter("tgi_batch_inference_count", "Steps begun", *by_method)
        self.inferred = counter("tgi_batch_inference_success", "Steps done", *by_method)
        self.not_inferred = counter("tgi_batch_inference_failure", "Steps failed", *by_method)
        self.steps = {
            one: histogram(f"tgi_batch_{one}_duration", DURATION_BUCKETS_S, *by_method)
            for one in ("forward", "decode", "filter", "inference", "concat")
        }
        self.next_size = histogram("tgi_batch_next_size", range(1, 1025))

    def failed(self, why, count=1):
        """Count requests that were not answered."""
        if count:
            self._failures.labels(why).inc(count)

    def render(self):
        """The text of `/metrics`; the client library adds `_total` to counters, TGI does not."""
        return _CLIENTS_SUFFIX.sub(rb"\1", generate_latest(self._registry))

    def _counter(self, name, help, label=None, values=()):
        family = Counter(name, help, [label] if label else [], registry=self._registry)
        for value in values:
            family.labels(value)
        return family

    def _histogram(self, name, buckets, label=None, values=()):
        labels = [label] if label else []
        family = Histogram(name, name, labels, buckets=list(buckets), registry=self._registry)
        for value in values:
            family.labels(value)
        return family
