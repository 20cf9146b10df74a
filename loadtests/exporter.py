"""The client's own `/metrics` while a run goes on: for watching, never for reporting.

Records are counted into buckets in the batches in which they are stored, twice a second and with
numpy, so that the histograms cost the event loop next to nothing.
"""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from wsgiref.simple_server import WSGIServer

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from loadtests.errors import LoadError
from measure import client_metrics as names
from measure import latency
from measure.client_metrics import ClientMetric
from measure.records import Status

HOST = "127.0.0.1"


class _Histogram:
    def __init__(self, metric: ClientMetric) -> None:
        self.metric = metric
        self._bounds = np.asarray(metric.buckets)
        self._counts = np.zeros(len(metric.buckets) + 1, dtype=np.int64)
        self._sum = 0.0

    def add(self, values: npt.NDArray[np.float64]) -> None:
        # `le`: a value equal to a bound belongs below it.
        places = np.searchsorted(self._bounds, values, side="left")
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sum += float(values.sum())

    def family(self, labels: dict[str, str]) -> HistogramMetricFamily:
        cumulative = np.cumsum(self._counts)
        family = HistogramMetricFamily(self.metric.name, self.metric.help, labels=list(labels))
        bounds = [*(f"{bound:g}" for bound in self.metric.buckets), "+Inf"]
        buckets = list(zip(bounds, (float(count) for count in cumulative), strict=True))
        family.add_metric(list(labels.values()), buckets, self._sum)
        return family


class ClientCollector(Collector):
    """The families of `measure.client_metrics`, labelled with the run and the scenario."""

    offered: Callable[[], int] | None = None
    """The arrivals of an open loop up to now."""
    users: Callable[[], int] | None = None
    """The users of a closed loop."""

    def __init__(self, run_id: str, scenario: str, gauges: Callable[[], tuple[int, float]]) -> None:
        """`gauges` gives requests in flight and the loop's lag in seconds, at scrape time."""
        self._labels = {"run_id": run_id, "scenario": scenario}
        self._gauges = gauges
        self._sent = self._sent_and_ended = 0
        self._histograms = {
            metric.name: _Histogram(metric)
            for metric in names.CLIENT_METRICS
            if metric.kind == "histogram"
        }
        self._requests = dict.fromkeys(Status, 0)
        self._output_tokens = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Count finished requests, a batch of records."""
        table = pa.Table.from_batches([batch])
        for ended in pc.value_counts(table.column("status")).to_pylist():
            self._requests[Status(ended["values"])] += ended["counts"]
        self._sent_and_ended += pc.count(table.column("sent_s")).as_py()
        self._output_tokens += pc.sum(table.column("output_tokens")).as_py() or 0
        for metric, values in (
            (names.TTFT, latency.ttft_s(table)),
            (names.TTFT_FROM_SCHEDULE, latency.ttft_from_schedule_s(table)),
            (names.E2E, latency.e2e_s(table)),
            (names.CHUNK_GAP, latency.chunk_gaps(table).gap_s),
            (names.SCHEDULE_DELAY, latency.schedule_delay_s(table)),
        ):
            self._histograms[metric.name].add(values[~np.isnan(values)])

    def collect(self) -> Iterator[Metric]:
        """What Prometheus scrapes."""
        keys, values = list(self._labels), list(self._labels.values())
        for histogram in self._histograms.values():
            yield histogram.family(self._labels)
        requests = CounterMetricFamily(
            names.REQUESTS.name, names.REQUESTS.help, labels=[*keys, *names.REQUESTS.labels]
        )
        for status, count in self._requests.items():
            requests.add_metric([*values, status.value], count)
        yield requests
        tokens = CounterMetricFamily(
            names.OUTPUT_TOKENS.name, names.OUTPUT_TOKENS.help, labels=keys
        )
        tokens.add_metric(values, self._output_tokens)
        yield tokens
        in_flight, lag_s = self._gauges()
        # A request that ended is in flight no more and counted half a second later.
        self._sent = max(self._sent, self._sent_and_ended + in_flight)
        counted = {names.SENT: self._sent}
        if self.offered is not None:
            counted[names.OFFERED] = self.offered()
        for metric, number in counted.items():
            counter = CounterMetricFamily(metric.name, metric.help, labels=keys)
            counter.add_metric(values, number)
            yield counter
        measured: dict[ClientMetric, float] = {names.IN_FLIGHT: in_flight, names.LOOP_LAG: lag_s}
        if self.users is not None:
            measured[names.USERS] = self.users()
        for metric, value in measured.items():
            gauge = GaugeMetricFamily(metric.name, metric.help, labels=keys)
            gauge.add_metric(values, value)
            yield gauge


class Arrivals:
    """How many arrivals of a schedule have come by now. To ask draws those since it was asked."""

    def __init__(
        self, offsets_s: Iterator[float], now_s: Callable[[], float], last_s: float | None
    ) -> None:
        """`offsets_s` are on the clock of `now_s`; none comes after `last_s`."""
        self._offsets_s, self._now_s = offsets_s, now_s
        self._last_s = math.inf if last_s is None else last_s
        self._next_s = next(offsets_s, None)
        self._come = 0

    def __call__(self) -> int:
        """The count; it never falls."""
        now_s = min(self._now_s(), self._last_s)
        while self._next_s is not None and self._next_s <= now_s:
            self._come += 1
            self._next_s = next(self._offsets_s, None)
        return self._come


class Exporter:
    """Serves one collector on 127.0.0.1 and, where a folder is given, tells Prometheus where."""

    def __init__(
        self, collector: ClientCollector, *, port: int, targets: Path | None, labels: dict[str, str]
    ) -> None:
        """`labels` go into the target file; its `instance` names the file.

        Raises:
            LoadError: the port is taken, or the folder cannot be written.
        """
        registry = CollectorRegistry()
        registry.register(collector)
        try:
            self._server: WSGIServer
            self._server, _ = start_http_server(port, addr=HOST, registry=registry)
        except OSError as error:
            raise LoadError(
                f"--metrics-port {port} cannot be opened on {HOST} ({error.strerror}). Choose "
                "another, or leave it out to get a free one."
            ) from None
        self.port = int(self._server.server_port)
        self._target: Path | None = None
        if targets is not None:
            self._announce(targets, labels)

    def _announce(self, targets: Path, labels: dict[str, str]) -> None:
        target = targets / f"{labels['instance']}.json"
        fresh = target.with_suffix(".tmp")
        try:
            fresh.write_text(json.dumps([{"targets": [f"{HOST}:{self.port}"], "labels": labels}]))
            fresh.replace(target)
        except OSError as error:
            self.close()
            raise LoadError(
                f"The target file {target} for Prometheus cannot be written ({error.strerror}). "
                "Give another --metrics-targets folder."
            ) from None
        self._target = target

    def close(self) -> None:
        """Stop serving and take the target away."""
        if self._target is not None:
            self._target.unlink(missing_ok=True)
        self._server.shutdown()
        self._server.server_close()
