"""Which device engines run on here."""

from __future__ import annotations

import os
from functools import lru_cache

from servers import gpus
from servers.contract import Device


@lru_cache(maxsize=1)
def detect() -> Device:
    """`cuda` if the NVIDIA driver reports a GPU this process may use, else `cpu`.

    Asks the driver's own library (NVML), which costs nothing where there is none. An empty
    `CUDA_VISIBLE_DEVICES` (or -1) hides the GPUs, as it does from every CUDA program.
    """
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return "cpu"
    return "cuda" if gpus.count() > 0 else "cpu"
