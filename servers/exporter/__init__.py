"""The exporter: memory and CPU of each instance's processes, and the GPUs, for Prometheus.

GPUs are described as dcgm-exporter does it. Where there is none, the processes' own memory and CPU
take the place, named as what they are.
"""

import sys

from servers import paths
from servers.contract import Engine, Launch, Metric, Request
from servers.exporter.dcgm import METRICS as GPU_METRICS


def _launch(request: Request) -> Launch:
    base = f"http://{request.host}:{request.ports['http']}"
    return Launch(
        argv=(
            *(sys.executable, "-m", "servers.exporter"),
            *("--host", request.host, "--port", str(request.ports["http"])),
        ),
        env={"PYTHONPATH": str(paths.ROOT), "SERVING_LAB_HOME": str(paths.home())},
        base_url=base,
        ready_url=f"{base}/metrics",
        metrics_url=f"{base}/metrics",
        ready_timeout_s=30.0,
        stop_grace_s=5.0,
    )


ENGINE = Engine(
    name="exporter",
    title="process and GPU exporter",
    summary="Memory and CPU of each instance's processes, and the GPUs, for Prometheus.",
    ports={"http": 9105},
    launch=_launch,
    job="exporter",
    metrics=(
        Metric(
            "memory",
            "lab_instance_memory_bytes",
            "gauge",
            "bytes",
            "Memory of an instance's processes: pss counts a shared page once, rss in each.",
        ),
        Metric(
            "cpu",
            "lab_instance_cpu_seconds_total",
            "counter",
            "seconds",
            "CPU time of an instance's processes since it started, ended children included.",
        ),
        Metric(
            "processes", "lab_instance_processes", "gauge", "processes", "Living processes of it."
        ),
        Metric(
            "gpu_memory",
            "lab_instance_gpu_memory_bytes",
            "gauge",
            "bytes",
            "GPU memory of an instance's processes, on each GPU.",
        ),
        *GPU_METRICS,
    ),
)
