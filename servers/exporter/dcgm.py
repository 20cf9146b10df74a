"""GPU metrics as dcgm-exporter exports them: the same names, units and labels. Pure.

Taken from `etc/default-counters.csv` of https://github.com/NVIDIA/dcgm-exporter: those that NVML
tells, so that a dashboard or an alert made for dcgm-exporter reads this one too.
"""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client.core import Metric

from servers.contract import Metric as Described
from servers.gpus import MIB, Gpu

METRICS = (
    Described("gpu_util", "DCGM_FI_DEV_GPU_UTIL", "gauge", "ratio",
              "Part of the last moment in which any kernel ran on the GPU.", 0.01),
    Described("gpu_memory_used", "DCGM_FI_DEV_FB_USED", "gauge", "bytes",
              "Memory of the GPU in use, by whomever.", MIB),
    Described("gpu_memory_free", "DCGM_FI_DEV_FB_FREE", "gauge", "bytes",
              "Memory of the GPU that is free.", MIB),
    Described("gpu_memory_util", "DCGM_FI_DEV_MEM_COPY_UTIL", "gauge", "ratio",
              "Part of the last moment in which the GPU's memory was read or written.", 0.01),
    Described("gpu_power", "DCGM_FI_DEV_POWER_USAGE", "gauge", "W",
              "Power the GPU draws."),
    Described("gpu_energy", "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", "counter", "J",
              "Energy since the driver was loaded.", 1e-3),
    Described("gpu_temperature", "DCGM_FI_DEV_GPU_TEMP", "gauge", "°C",
              "Temperature of the GPU."),
    Described("gpu_sm_clock", "DCGM_FI_DEV_SM_CLOCK", "gauge", "Hz",
              "Clock of the streaming multiprocessors.", 1e6),
    Described("gpu_memory_clock", "DCGM_FI_DEV_MEM_CLOCK", "gauge", "Hz",
              "Clock of the memory.", 1e6),
    Described("gpu_xid", "DCGM_FI_DEV_XID_ERRORS", "gauge", "XID",
              "The last XID error of the driver; 0 if there was none."),
)  # fmt: skip
"""What the exporter says of every GPU; `scale` turns DCGM's units into ours."""


def families(gpus: Sequence[Gpu], hostname: str) -> list[Metric]:
    """The families that have a sample. One that a GPU does not support has none of it."""
    found = []
    for described in METRICS:
        # A counter would be renamed to end in _total, and dcgm-exporter's does not.
        kind = "gauge" if described.kind == "gauge" else "unknown"
        family = Metric(described.name, described.help, kind)
        for gpu in gpus:
            if described.name in gpu.values:
                family.add_sample(
                    described.name, _labels(gpu, hostname), gpu.values[described.name]
                )
        if family.samples:
            found.append(family)
    return found


def _labels(gpu: Gpu, hostname: str) -> dict[str, str]:
    return {
        "gpu": str(gpu.index),
        "UUID": gpu.uuid,
        "pci_bus_id": gpu.pci_bus_id,
        "device": f"nvidia{gpu.index}",
        "modelName": gpu.model,
        "Hostname": hostname,
    }
