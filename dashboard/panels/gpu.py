"""The panels of GPUs, under DCGM's metric names: the lab's exporter and dcgm-exporter fill them."""

from dashboard.panels.types import Panel, Part
from servers.catalog import ENGINES
from servers.contract import Metric

EXPORTED: tuple[Metric, ...] = tuple(
    metric
    for engine in ENGINES.values()
    if engine.job == "exporter"
    for metric in engine.metrics
    if metric.name.startswith("DCGM_")
)
"""What the lab's exporter says of every GPU."""

PRESENT = "DCGM_FI_DEV_FB_USED"
"""The metric that every GPU has which is shown."""

GPU_PANELS = (
    Panel(
        "gpu_util",
        "GPU in use",
        "gpu",
        "ratio",
        "max",
        "Part of the time in which some kernel ran. At 100 % the GPU may still be far from what it "
        "can do: one small kernel after the other counts as fully in use.",
        (Part("gpu_util"),),
        topic="machine",
    ),
    Panel(
        "gpu_memory",
        "GPU memory",
        "gpu",
        "bytes",
        "max",
        "Memory of the GPU in use, by whomever. An engine that sets its KV cache aside holds it "
        "also while it is idle: this line is no load.",
        (Part("gpu_memory_used"),),
        topic="machine",
    ),
    Panel(
        "gpu_memory_util",
        "GPU memory traffic",
        "gpu",
        "ratio",
        "max",
        "Part of the time in which the GPU's memory was read or written. Decoding is bound by it.",
        (Part("gpu_memory_util"),),
        topic="machine",
    ),
    Panel(
        "gpu_power",
        "GPU power",
        "gpu",
        "W",
        "max",
        "Power the GPU draws: a better sign of real work than its use.",
        (Part("gpu_power"),),
        topic="machine",
    ),
    Panel(
        "gpu_temperature",
        "GPU temperature",
        "gpu",
        "°C",
        "max",
        "Too hot a GPU lowers its clock.",
        (Part("gpu_temperature"),),
        topic="machine",
    ),
    Panel(
        "gpu_clock",
        "GPU clock",
        "gpu",
        "Hz",
        "max",
        "Clock of the multiprocessors, and of the memory. One that falls under load (power, heat) "
        "makes two runs unlike each other.",
        (Part("gpu_sm_clock"), Part("gpu_memory_clock", "memory")),
        topic="machine",
    ),
    Panel(
        "gpu_xid",
        "Last XID error",
        "gpu",
        "count",
        "max",
        "The number of the driver's last error on this GPU, 0 if there was none. NVIDIA's list "
        "says what each means; 79 is a GPU that fell off the bus.",
        (Part("gpu_xid"),),
        topic="machine",
    ),
)
