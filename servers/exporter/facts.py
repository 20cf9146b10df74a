"""What the processes of the instances use now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import psutil

from servers import instances
from servers.containers import Containers
from servers.gpus import Gpu, held
from servers.instances import Instance
from servers.processes import Member


@dataclass(frozen=True)
class Facts:
    """One instance at one moment. `pss_bytes` is `None` where the system does not tell it.

    `gpu_bytes` is what its processes hold on each GPU, by the GPU's number; a GPU of which the
    driver names none of them is not in it.
    """

    instance: str
    engine: str
    started_s: float
    processes: int
    rss_bytes: int
    pss_bytes: int | None
    cpu_s: float
    gpu_bytes: Mapping[int, int] = field(default_factory=dict)


class CpuClock:
    """CPU seconds of an instance that never fall when one of its processes ends unseen.

    A process that its parent waited for is in the parent's own account. One that was not
    (an orphan's, say) would take its seconds away with it, so only rises are counted. What it
    used after the last reading is lost.
    """

    def __init__(self) -> None:
        self._last_s = 0.0
        self._total_s = 0.0

    def total(self, living_s: float) -> float:
        """The total, given the sum over the living processes and the children they waited for."""
        self._total_s += max(living_s - self._last_s, 0.0)
        self._last_s = living_s
        return self._total_s


class Observer:
    """Looks at all instances of this home; keeps a CPU clock for each."""

    def __init__(self) -> None:
        self._clocks: dict[tuple[str, float], CpuClock] = {}
        self._containers = Containers()

    def look(self, gpus: Sequence[Gpu] = ()) -> list[Facts]:
        """Facts of every instance that lives, sorted by name."""
        found = instances.all_instances()
        keys = {(instance.name, instance.started_s) for instance in found}
        self._clocks = {key: clock for key, clock in self._clocks.items() if key in keys}
        facts = [self._facts(instance, instances.members(instance), gpus) for instance in found]
        return [fact for fact in facts if fact.processes]

    def _facts(self, instance: Instance, members: Sequence[Member], gpus: Sequence[Gpu]) -> Facts:
        rss, pss, cpu, count = 0, 0, 0.0, 0
        pss_known = True
        for member in members:
            process = member.process()
            if process is None:
                continue
            try:
                with process.oneshot():
                    times = process.cpu_times()
                    rss += process.memory_info().rss
                cpu += times.user + times.system + times.children_user + times.children_system
                count += 1
            except psutil.Error:
                continue
            share = _pss_bytes(process)
            pss_known = pss_known and share is not None
            pss += share or 0
        clock = self._clocks.setdefault((instance.name, instance.started_s), CpuClock())
        return Facts(
            instance=instance.name,
            engine=instance.engine,
            started_s=instance.started_s,
            processes=count,
            rss_bytes=rss,
            pss_bytes=pss if pss_known else None,
            cpu_s=clock.total(cpu),
            gpu_bytes=held(self._on_gpus(instance, members, gpus), gpus),
        )

    def _on_gpus(
        self, instance: Instance, members: Sequence[Member], gpus: Sequence[Gpu]
    ) -> set[int]:
        """The pids of the instance among those that GPUs name, a container's included."""
        named = {pid for gpu in gpus for pid in gpu.processes}
        return {member.pid for member in members} | self._containers.pids(instance, named)


def _pss_bytes(process: psutil.Process) -> int | None:
    """The process's proportional share, or `None` (no Linux, no right, just ended)."""
    try:
        return getattr(process.memory_full_info(), "pss", None)
    except psutil.NoSuchProcess:
        return 0
    except psutil.Error:
        return None
