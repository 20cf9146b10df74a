"""The model's own numbers on Triton's `/metrics`.

Triton measures a decoupled model's hand-over only, so what a user feels (TTFT, the time between
tokens) is exported from here. Buckets are fine (1.25 times the one below) because quantiles read
from a histogram are no better than its buckets.
"""

import triton_python_backend_utils as pb_utils

# 1 ms to 100 s.
LATENCY_BUCKETS_S = [round(0.001 * 1.25**i, 6) for i in range(52)]
# 0.5 ms to 12 s.
GAP_BUCKETS_S = [round(0.0005 * 1.25**i, 7) for i in range(46)]
TOKEN_BUCKETS = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0]


class Metrics:
    """One attribute a family. Each call crosses to the server process, in about 8 us."""

    def __init__(self, model):
        self._families = []
        self._model = model
        kinds = pb_utils.MetricFamily
        self.ttft = self._make(
            "llm_time_to_first_token_seconds",
            "Arrival to first token",
            kinds.HISTOGRAM,
            LATENCY_BUCKETS_S,
        )
        self.itl = self._make(
            "llm_inter_token_latency_seconds",
            "Time between two tokens of one answer",
            kinds.HISTOGRAM,
            GAP_BUCKETS_S,
        )
        self.e2e = self._make(
            "llm_e2e_latency_seconds",
            "Arrival to last token",
            kinds.HISTOGRAM,
            LATENCY_BUCKETS_S,
        )
        self.queue_time = self._make(
            "llm_queue_time_seconds",
            "Arrival to the start of the prefill",
            kinds.HISTOGRAM,
            LATENCY_BUCKETS_S,
        )
        self.iteration_tokens = self._make(
            "llm_iteration_tokens", "Tokens computed in one step", kinds.HISTOGRAM, TOKEN_BUCKETS
        )
        self.running = self._make("llm_requests_running", "Decoding now", kinds.GAUGE)
        self.waiting = self._make("llm_requests_waiting", "Waiting for a place", kinds.GAUGE)
        self.prompt_tokens = self._make(
            "llm_prompt_tokens_total", "Prompt tokens computed", kinds.COUNTER
        )
        self.output_tokens = self._make(
            "llm_output_tokens_total", "Tokens generated", kinds.COUNTER
        )
        self.cancelled = self._make(
            "llm_requests_cancelled_total", "Requests whose client left", kinds.COUNTER
        )
        self.finished = self._labelled_counter(
            "llm_requests_total", "Answers finished", "finish_reason", ("stop", "length")
        )
        self.errors = self._labelled_counter(
            "llm_request_errors_total",
            "Requests refused or failed",
            "kind",
            ("bad_request", "internal"),
        )

    def _family(self, name, help, kind):
        family = pb_utils.MetricFamily(name=name, description=help, kind=kind)
        self._families.append(family)  # a family that is collected takes its series with it
        return family

    def _make(self, name, help, kind, buckets=None):
        family, labels = self._family(name, help, kind), {"model": self._model}
        if buckets is None:
            return family.Metric(labels=labels)
        return family.Metric(labels=labels, buckets=buckets)

    def _labelled_counter(self, name, help, label, values):
        """One series a value, all present from the start: a rate needs a first 0."""
        family = self._family(name, help, pb_utils.MetricFamily.COUNTER)
        return {
            value: family.Metric(labels={"model": self._model, label: value}) for value in values
        }
