"""GPU memory by NVML, where the machine has it and `nvidia-ml-py` is installed."""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any


def memory_used_bytes() -> list[tuple[int, int]]:
    """(index, bytes in use) of every GPU that answers; empty where there is none."""
    nvml = _nvml()
    if nvml is None:
        return []
    found = []
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            found.append((index, int(nvml.nvmlDeviceGetMemoryInfo(handle).used)))
        except nvml.NVMLError:
            # One that fell off the bus has no value; the others still have theirs.
            continue
    return found


@lru_cache(maxsize=1)
def _nvml() -> Any | None:
    """The initialised binding, or `None` for good: a driver does not appear while we run."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return None
    return nvml
