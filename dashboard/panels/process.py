"""The panels of an instance's processes: the lab's exporter, and Prometheus on its own scrapes."""

from dashboard.panels.types import Panel, Part
from servers.contract import Metric

PROCESS = (
    Metric(
        "memory",
        "lab_instance_memory_bytes",
        "gauge",
        "bytes",
        "Memory of all processes of the instance, pages shared between them counted once.",
        selector={"kind": "pss"},
    ),
    Metric(
        "memory_rss",
        "lab_instance_memory_bytes",
        "gauge",
        "bytes",
        "The same, shared pages counted in each process.",
        selector={"kind": "rss"},
    ),
    Metric(
        "cpu", "lab_instance_cpu_seconds_total", "counter", "s", "CPU time of all its processes."
    ),
    Metric("processes", "lab_instance_processes", "gauge", "processes", "Living processes of it."),
    Metric(
        "gpu_memory",
        "lab_instance_gpu_memory_bytes",
        "gauge",
        "bytes",
        "GPU memory of all its processes, on all GPUs.",
    ),
)
"""What the lab's exporter says about the processes of every instance."""

SCRAPE = (
    Metric("up", "up", "gauge", "ratio", "1 if the last scrape reached the instance, 0 if not."),
    Metric("scrape_time", "scrape_duration_seconds", "gauge", "s", "What the last scrape took."),
)
"""What Prometheus itself says of every target."""

PROCESS_PANELS = (
    Panel(
        "memory",
        "Memory",
        "process",
        "bytes",
        "sum",
        "Memory of all processes of the instance (PSS: pages they share are counted once). On a "
        "machine without a GPU weights and KV cache are in it. Beside it what they hold on GPUs.",
        (Part("memory"), Part("gpu_memory", "on GPUs")),
        topic="machine",
    ),
    Panel(
        "cpu",
        "CPU",
        "process",
        "cores",
        "rate",
        "CPU cores that all processes of the instance keep busy.",
        (Part("cpu"),),
        topic="machine",
    ),
    Panel(
        "processes",
        "Processes",
        "process",
        "count",
        "sum",
        "Living processes of the instance. One fewer while it runs is a worker that died.",
        (Part("processes"),),
        topic="machine",
    ),
    Panel(
        "up",
        "Up",
        "process",
        "count",
        "max",
        "1 while Prometheus reaches the instance's /metrics, 0 while it does not.",
        (Part("up"),),
        topic="machine",
    ),
    Panel(
        "scrape_time",
        "Scrape time",
        "process",
        "s",
        "max",
        "How long the instance took to tell its metrics. A slow scrape is a busy server.",
        (Part("scrape_time"),),
        topic="machine",
    ),
)
