"""The panels of an instance's processes, from what the lab's exporter says."""

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
        "cpu", "lab_instance_cpu_seconds_total", "counter", "s", "CPU time of all its processes."
    ),
    Metric(
        "gpu_memory",
        "lab_instance_gpu_memory_bytes",
        "gauge",
        "bytes",
        "GPU memory of all its processes, on all GPUs.",
    ),
)
"""What the lab's exporter says about the processes of every instance."""

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
    ),
    Panel(
        "cpu",
        "CPU",
        "process",
        "cores",
        "rate",
        "CPU cores that all processes of the instance keep busy.",
        (Part("cpu"),),
    ),
)
