"""The metric families of the middleware, and how a handler counts tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from servers.buckets import ten_a_decade
from servers.middleware import gpu

BUCKETS_S = ten_a_decade(1e-4, 80)
"""Ten a decade from 0.1 ms to 80 s: a quantile read from them is within 30%."""

GPU_MEMORY = "gpu_memory_used_bytes"
_SCOPE_KEY = "servers.middleware"
_ROUTE = ("route", "method")


class ModelMetrics:
    """The families of one application, in `registry`. Make one, for all of its requests.

    `status` is the HTTP status, or how the request ended without one
    (`CLIENT_DISCONNECTED`, `INCOMPLETE`). Raises `ValueError` if the registry has them already.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.registry = registry
        self.latency = Histogram(
            "model_request_latency_seconds",
            "From a request's arrival to the last byte of its answer.",
            (*_ROUTE, "status"),
            buckets=BUCKETS_S,
            registry=registry,
        )
        self.requests = Counter(
            "model_requests_total",
            "Requests that have ended, by how.",
            (*_ROUTE, "status"),
            registry=registry,
        )
        self.active = Gauge(
            "model_active_requests",
            "Requests whose answer is not sent to its last byte.",
            _ROUTE,
            registry=registry,
        )
        self.tokens = Counter(
            "model_tokens_generated_total",
            "Tokens generated, as the handlers counted them.",
            ("route",),
            registry=registry,
        )
        registry.register(_GpuMemory())

    def expect(self, route: str, method: str, statuses: Iterable[str]) -> None:
        """Export these ends from the start, as 0: what is born at 1 shows no rise to a query."""
        for status in statuses:
            self.requests.labels(route, method, status)

    def enter(self, scope: MutableMapping[str, Any], route: str) -> None:
        """Let `add_tokens` find these metrics by the request's scope."""
        scope[_SCOPE_KEY] = (self, route)


def add_tokens(scope: MutableMapping[str, Any], count: int) -> None:
    """Count tokens generated for the request of this scope, under its route.

    Does nothing where no middleware is in front. Raises `ValueError` for a negative count.
    """
    found = scope.get(_SCOPE_KEY)
    if found is not None:
        metrics, route = found
        metrics.tokens.labels(route).inc(count)


class _GpuMemory(Collector):
    """Memory in use on each GPU, asked at every scrape; no family at all where there is no NVML."""

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield self._family()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = self._family()
        for index, used in gpu.memory_used_bytes():
            family.add_metric([str(index)], used)
        if family.samples:
            yield family

    def _family(self) -> GaugeMetricFamily:
        words = "Memory in use on the GPU, by all processes together."
        return GaugeMetricFamily(GPU_MEMORY, words, labels=["gpu"])
