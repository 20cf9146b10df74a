"""Serves `/metrics` with the facts of this home's instances and of the GPUs until stopped."""

from __future__ import annotations

import argparse
import signal
import socket
import threading
import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from servers.exporter.dcgm import families as gpu_families
from servers.exporter.facts import Facts, Observer
from servers.gpus import Driver, Gpu

# Summing a big process's page tables takes milliseconds: however often we are scraped, look
# only this often.
_LOOK_EVERY_S = 2.0


class InstanceCollector(Collector):
    """Prometheus' families from what observer and driver say, at most `_LOOK_EVERY_S` old."""

    def __init__(self, observer: Observer, driver: Driver) -> None:
        self._observer = observer
        self._driver = driver
        self._lock = threading.Lock()
        self._facts: list[Facts] = []
        self._gpus: list[Gpu] = []
        self._looked_s = float("-inf")

    def collect(self) -> Iterator[Metric]:
        """The families, for one scrape."""
        facts, gpus = self._now()
        yield from families(facts)
        yield from gpu_families(gpus, socket.gethostname())

    def _now(self) -> tuple[list[Facts], list[Gpu]]:
        with self._lock:
            if time.monotonic() - self._looked_s >= _LOOK_EVERY_S:
                self._gpus = self._driver.look()
                self._facts = self._observer.look(self._gpus)
                self._looked_s = time.monotonic()
            return self._facts, self._gpus


def families(facts: list[Facts]) -> list[Metric]:
    """The metric families for these facts; PSS has no sample where it is unknown."""
    labels = ["instance", "engine"]
    memory = GaugeMetricFamily(
        "lab_instance_memory_bytes", "Memory of an instance's processes.", labels=[*labels, "kind"]
    )
    cpu = CounterMetricFamily(
        "lab_instance_cpu_seconds", "CPU time of an instance's processes.", labels=labels
    )
    processes = GaugeMetricFamily(
        "lab_instance_processes", "Living processes of an instance.", labels=labels
    )
    start = GaugeMetricFamily(
        "lab_instance_start_time_seconds", "When an instance started, Unix time.", labels=labels
    )
    gpu_memory = GaugeMetricFamily(
        "lab_instance_gpu_memory_bytes",
        "GPU memory of an instance's processes, on each GPU.",
        labels=[*labels, "gpu"],
    )
    for fact in facts:
        key = [fact.instance, fact.engine]
        memory.add_metric([*key, "rss"], fact.rss_bytes)
        if fact.pss_bytes is not None:
            memory.add_metric([*key, "pss"], fact.pss_bytes)
        cpu.add_metric(key, fact.cpu_s)
        processes.add_metric(key, fact.processes)
        start.add_metric(key, fact.started_s)
        for index, held in fact.gpu_bytes.items():
            gpu_memory.add_metric([*key, str(index)], held)
    return [memory, cpu, processes, start, gpu_memory]


def main() -> None:
    """Serve until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=9105)
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    registry = CollectorRegistry()
    registry.register(InstanceCollector(Observer(), Driver()))
    server, _ = start_http_server(arguments.port, arguments.host, registry)
    print(f"serving /metrics on {arguments.host}:{arguments.port}", flush=True)
    stop.wait()
    server.shutdown()


if __name__ == "__main__":
    main()
