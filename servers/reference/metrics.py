"""What the reference server exports of itself, under the concepts all engines share.

Its histograms are counted from its truth: the time of the send, not the plan.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from servers.buckets import ten_a_decade
from servers.contract import Metric
from servers.reference import plan

BUCKETS_S = ten_a_decade(1e-4, 800)

_ENDED = "outcome"
_FAILED = (plan.HTTP_ERROR, plan.STREAM_ERROR, plan.DISCONNECT)

METRICS = (
    Metric("ttft", "reference_time_to_first_token_seconds", "histogram", "s",
           "From a request's first byte to the send of its first token. In buckets.",
           bounds=BUCKETS_S),
    Metric("e2e", "reference_request_latency_seconds", "histogram", "s",
           "From a request's first byte to the send of its last token. In buckets."),
    Metric("running", "reference_requests_running", "gauge", "requests",
           "Requests that are being answered now."),
    Metric("output_tokens", "reference_output_tokens_total", "counter", "tokens",
           "Words sent, each standing for a token."),
    Metric("prompt_tokens", "reference_prompt_tokens_total", "counter", "tokens",
           "Words of the prompts that came in."),
    Metric("requests_ok", "reference_requests_total", "counter", "requests",
           "Requests answered to their end.", selector={_ENDED: plan.OK}),
    Metric("requests_failed", "reference_requests_total", "counter", "requests",
           "Requests that failed as the settings wanted it.", selector={_ENDED: _FAILED}),
    Metric("requests_ended", "reference_requests_total", "counter", "requests",
           "Requests that ended, by how.", by=_ENDED),
)  # fmt: skip


class Histogram:
    """Counts in buckets, bounds included, and the sum."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS_S) + 1)
        self.sum_s = 0.0

    def add(self, value_s: float) -> None:
        """Count one value."""
        self.counts[bisect_left(BUCKETS_S, value_s)] += 1
        self.sum_s += value_s

    def lines(self, name: str) -> Iterator[str]:
        """As Prometheus reads it."""
        total = 0
        for bound, count in zip((*BUCKETS_S, "+Inf"), self.counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self.sum_s}"
        yield f"{name}_count {total}"


class Counters:
    """All that is counted, since the start of the process."""

    def __init__(self) -> None:
        self.outcomes = dict.fromkeys((plan.OK, *_FAILED, plan.CLIENT_LEFT), 0)
        self.output_tokens = 0
        self.prompt_tokens = 0
        self.running = 0
        self.ttft = Histogram()
        self.e2e = Histogram()

    def exposition(self) -> bytes:
        """The body of `/metrics`, in Prometheus' text format."""
        lines: list[str] = []
        for metric in METRICS:
            if f"# TYPE {metric.name} {metric.kind}" in lines:
                continue
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}"]
            lines += self._samples(metric)
        return ("\n".join(lines) + "\n").encode()

    def _samples(self, metric: Metric) -> list[str]:
        if metric.concept == "ttft":
            return list(self.ttft.lines(metric.name))
        if metric.concept == "e2e":
            return list(self.e2e.lines(metric.name))
        if metric.concept.startswith("requests_"):
            return [
                f'{metric.name}{{{_ENDED}="{name}"}} {count}'
                for name, count in self.outcomes.items()
            ]
        return [f"{metric.name} {getattr(self, metric.concept)}"]
