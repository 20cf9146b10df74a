"""The batcher's own metrics for Prometheus; the names are declared in `../metrics.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Gauge, Histogram

from servers.fastapi_batcher import metrics as names
from servers.fastapi_batcher.inside.batching import Batch
from servers.middleware import BUCKETS_S

_SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512, 1024)


class BatchMetrics:
    """What is known of every computed batch: call it with each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._size = Histogram(
            names.BATCH_SIZE, "Requests computed together.", buckets=_SIZES, registry=registry
        )
        self._queue_time = Histogram(
            names.QUEUE_TIME,
            "From a request's arrival in the batcher to the start of its batch.",
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._compute_time = Histogram(
            names.COMPUTE_TIME,
            "Time one batch was computed.",
            buckets=BUCKETS_S,
            registry=registry,
        )

    def __call__(self, batch: Batch) -> None:
        """Count it."""
        self._size.observe(len(batch.waited_s))
        self._compute_time.observe(batch.computed_s)
        for waited_s in batch.waited_s:
            self._queue_time.observe(waited_s)


class StateMetrics:
    """What is so at the moment of a scrape."""

    def __init__(
        self, registry: CollectorRegistry, waiting: Callable[[], int], running: Callable[[], int]
    ) -> None:
        words = "Requests that wait for their batch."
        Gauge(names.WAITING, words, registry=registry).set_function(waiting)
        words = "Requests in batches computed now."
        Gauge(names.RUNNING, words, registry=registry).set_function(running)
        self._jobs = Gauge(
            names.JOBS, "Jobs that are kept, by state.", ["status"], registry=registry
        )

    def show_jobs(self, counts: Mapping[str, int]) -> None:
        """Export the number of jobs by state."""
        for status, count in counts.items():
            self._jobs.labels(status).set(count)
