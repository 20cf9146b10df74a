"""What the NVIDIA driver says of its GPUs, through its own library (NVML). Reading only.

Quantities carry the names and units of DCGM (https://docs.nvidia.com/datacenter/dcgm/), so that
one dashboard reads this lab and a dcgm-exporter. What a GPU or a driver does not support is
absent, never zero.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pynvml

MIB = 2**20
_FAULTS = (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError)


@dataclass(frozen=True)
class Gpu:
    """One GPU at one moment.

    `values` are DCGM's fields by name, in DCGM's units (MiB, W, °C, MHz, %, mJ). `processes` is
    the GPU memory in bytes of each pid, as far as the driver tells it (in a container it may tell
    nothing, or pids of the machine outside).
    """

    index: int
    uuid: str
    model: str
    pci_bus_id: str
    values: Mapping[str, float]
    processes: Mapping[int, int]
    total_bytes: int | None = None
    free_bytes: int | None = None


class Driver:
    """The driver, asked again and again; found anew when it was lost or comes later.

    Where there is none it is looked for every `retry_s`. Not for two threads at once.
    """

    def __init__(self, retry_s: float = 10.0) -> None:
        self._retry_s = retry_s
        self._open = False
        self._tried_s = float("-inf")
        self._events: Any = None
        self._last_xid: dict[str, int] = {}

    def look(self) -> list[Gpu]:
        """Every GPU that answers now, in the driver's order; none where there is no driver."""
        if not self._opened():
            return []
        try:
            count = pynvml.nvmlDeviceGetCount()
        except _FAULTS:
            self.close()
            return []
        self._note_xids()
        found = [self._gpu(index) for index in range(count)]
        return [gpu for gpu in found if gpu is not None]

    def versions(self) -> tuple[str, str] | None:
        """The driver's version and the newest CUDA version it can run; `None` without a driver."""
        if not self._opened():
            return None
        try:
            cuda = pynvml.nvmlSystemGetCudaDriverVersion_v2()
            return _text(pynvml.nvmlSystemGetDriverVersion()), f"{cuda // 1000}.{cuda % 1000 // 10}"
        except _FAULTS:
            return None

    def close(self) -> None:
        """Let the library go. The next `look` opens it again."""
        if self._events is not None:
            with suppress(*_FAULTS):
                pynvml.nvmlEventSetFree(self._events)
        with suppress(*_FAULTS):
            pynvml.nvmlShutdown()
        self._open, self._events = False, None

    def _opened(self) -> bool:
        if self._open:
            return True
        if time.monotonic() - self._tried_s < self._retry_s:
            return False
        self._tried_s = time.monotonic()
        try:
            pynvml.nvmlInit()
        except _FAULTS:
            return False
        self._open = True
        self._watch_xids()
        return True

    def _watch_xids(self) -> None:
        """Ask for XID events of every GPU that has them; 0 stands for none since then."""
        try:
            self._events = pynvml.nvmlEventSetCreate()
            count = pynvml.nvmlDeviceGetCount()
        except _FAULTS:
            return
        for index in range(count):
            with suppress(*_FAULTS):
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                pynvml.nvmlDeviceRegisterEvents(
                    handle, pynvml.nvmlEventTypeXidCriticalError, self._events
                )
                self._last_xid.setdefault(_text(pynvml.nvmlDeviceGetUUID(handle)), 0)

    def _note_xids(self) -> None:
        if self._events is None or not self._last_xid:
            return
        with suppress(*_FAULTS):  # One of them says that there is no event.
            while True:
                event = pynvml.nvmlEventSetWait(self._events, 0)
                uuid = _text(pynvml.nvmlDeviceGetUUID(event.device))
                if event.eventType == pynvml.nvmlEventTypeXidCriticalError:
                    self._last_xid[uuid] = int(event.eventData)

    def _gpu(self, index: int) -> Gpu | None:
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            uuid = _text(pynvml.nvmlDeviceGetUUID(handle))
        except _FAULTS:
            return None
        memory = _memory(handle)
        values = _values(handle, memory)
        if uuid in self._last_xid:
            values["DCGM_FI_DEV_XID_ERRORS"] = float(self._last_xid[uuid])
        return Gpu(
            index=index,
            uuid=uuid,
            model=_text(_asked(pynvml.nvmlDeviceGetName, handle) or ""),
            pci_bus_id=_text(_pci_bus_id(handle)),
            values=values,
            processes=_processes(handle),
            total_bytes=int(memory.total) if memory is not None else None,
            free_bytes=int(memory.free) if memory is not None else None,
        )


def count() -> int:
    """How many GPUs the driver has; none where there is no driver."""
    try:
        pynvml.nvmlInit()
        try:
            return int(pynvml.nvmlDeviceGetCount())
        finally:
            pynvml.nvmlShutdown()
    except _FAULTS:
        return 0


def visible(found: list[Gpu], environment: Mapping[str, str] = os.environ) -> list[Gpu]:
    """Those that CUDA programs started here would see, in their order.

    `CUDA_VISIBLE_DEVICES` names them by number or by the beginning of their UUID, and ends at
    the first word that names none, as CUDA reads it.
    """
    asked = environment.get("CUDA_VISIBLE_DEVICES")
    if asked is None:
        return found
    chosen: list[Gpu] = []
    for word in (part.strip() for part in asked.split(",")):
        named = [
            gpu
            for gpu in found
            if word
            and (word == str(gpu.index) or (word[:4] == "GPU-" and gpu.uuid.startswith(word)))
        ]
        if not named:
            break
        chosen += named
    return chosen


def held(pids: Collection[int], found: Sequence[Gpu]) -> dict[int, int]:
    """What these processes hold together on each GPU that names one of them, in bytes."""
    sizes = {
        gpu.index: [gpu.processes[pid] for pid in gpu.processes if pid in pids] for gpu in found
    }
    return {index: sum(each) for index, each in sizes.items() if each}


def _values(handle: Any, memory: Any) -> dict[str, float]:
    """DCGM's fields, as `etc/default-counters.csv` of dcgm-exporter has them."""
    clock, temperature = pynvml.nvmlDeviceGetClockInfo, pynvml.nvmlDeviceGetTemperature
    use = _asked(pynvml.nvmlDeviceGetUtilizationRates, handle)
    milliwatts = _asked(pynvml.nvmlDeviceGetPowerUsage, handle)
    found = {
        "DCGM_FI_DEV_SM_CLOCK": _asked(clock, handle, pynvml.NVML_CLOCK_SM),
        "DCGM_FI_DEV_MEM_CLOCK": _asked(clock, handle, pynvml.NVML_CLOCK_MEM),
        "DCGM_FI_DEV_GPU_TEMP": _asked(temperature, handle, pynvml.NVML_TEMPERATURE_GPU),
        "DCGM_FI_DEV_POWER_USAGE": milliwatts / 1000 if milliwatts is not None else None,
        "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION": _asked(
            pynvml.nvmlDeviceGetTotalEnergyConsumption, handle
        ),
        "DCGM_FI_DEV_GPU_UTIL": use.gpu if use is not None else None,
        "DCGM_FI_DEV_MEM_COPY_UTIL": use.memory if use is not None else None,
        "DCGM_FI_DEV_FB_FREE": memory.free // MIB if memory is not None else None,
        "DCGM_FI_DEV_FB_USED": memory.used // MIB if memory is not None else None,
    }
    return {field: float(value) for field, value in found.items() if value is not None}


def _memory(handle: Any) -> Any:
    """Total, used and free; without what the driver keeps for itself, where it tells that apart."""
    found = _asked(pynvml.nvmlDeviceGetMemoryInfo, handle, pynvml.nvmlMemory_v2)
    return found if found is not None else _asked(pynvml.nvmlDeviceGetMemoryInfo, handle)


def _processes(handle: Any) -> dict[int, int]:
    """GPU memory by pid. A process that computes and draws is in both lists, with one memory."""
    found: dict[int, int] = {}
    for ask in (
        pynvml.nvmlDeviceGetComputeRunningProcesses,
        pynvml.nvmlDeviceGetGraphicsRunningProcesses,
        pynvml.nvmlDeviceGetMPSComputeRunningProcesses,
    ):
        for process in _asked(ask, handle) or ():
            if process.usedGpuMemory is not None:
                found[process.pid] = max(found.get(process.pid, 0), int(process.usedGpuMemory))
    return found


def _pci_bus_id(handle: Any) -> str | bytes:
    info = _asked(pynvml.nvmlDeviceGetPciInfo, handle)
    return info.busId if info is not None else ""


def _asked(ask: Callable[..., Any], *arguments: Any) -> Any:
    """The driver's answer, or `None` where it has none."""
    try:
        return ask(*arguments)
    except _FAULTS:
        return None


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
