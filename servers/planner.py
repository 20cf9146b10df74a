"""Whether what is asked fits into the memory that is here, said before anything is launched.

Engines state what they take (`Engine.memory`), `look` says what there is, `plan` compares. The
statements are estimates: their fixed parts were measured, and stand with how in each engine's
`memory.py`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import psutil

from servers import catalog, gpus, instances, machine, paths
from servers.containers import Containers
from servers.contract import Engine, Request, Say
from servers.errors import ServerError
from servers.gpus import Gpu
from servers.instances import Instance
from servers.machine import HostMemory
from servers.memory import Memory, show


@dataclass(frozen=True)
class Holder:
    """A running instance: what it holds now, and what it will take on top as its plan says.

    `host_bytes` is `None` where it cannot be seen (its processes are a container's).
    """

    name: str
    host_bytes: int | None
    host_to_come: int = 0
    gpu_bytes: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Here:
    """What there is: memory, the GPUs an engine would see, and who holds some of both."""

    host: HostMemory
    gpus: tuple[Gpu, ...] = ()
    holders: tuple[Holder, ...] = ()


@dataclass(frozen=True)
class Wanted:
    """One instance to be started. `memory` is `None` for what takes next to nothing."""

    name: str
    title: str
    device: str
    memory: Memory | None


@dataclass(frozen=True)
class Plan:
    """What is wanted beside what there is. `refusals` are why it cannot be, with numbers;
    `warnings` what may happen once requests fill it."""

    here: Here
    wanted: tuple[Wanted, ...]
    refusals: tuple[str, ...]
    warnings: tuple[str, ...]


def wanted(engine: Engine, request: Request) -> Wanted:
    """What this instance will take, by its engine's own statement."""
    memory = engine.memory(request) if engine.memory is not None else None
    return Wanted(request.instance, engine.title, request.device, memory)


def look(without: Collection[str] = ()) -> Here:
    """This machine now. The instances named by `without` count as gone, their memory as free."""
    host, found = machine.host_memory(), gpus.visible(gpus.Driver().look())
    containers = Containers()
    holders, back, back_gpu = [], 0, dict.fromkeys((gpu.index for gpu in found), 0)
    for instance in instances.all_instances():
        pids = {member.pid for member in instances.members(instance)}
        if not pids:
            continue
        named = {pid for gpu in found for pid in gpu.processes}
        held = _held(pids)
        on_gpus = gpus.held(pids | containers.pids(instance, named), found)
        if instance.name not in without:
            holders.append(_holder(instance, held, on_gpus))
            continue
        back += held
        for index, size in on_gpus.items():
            back_gpu[index] += size
    freed = HostMemory(
        host.total_bytes, min(host.free_bytes + back, host.total_bytes), host.limited
    )
    return Here(freed, tuple(_with_more(gpu, back_gpu[gpu.index]) for gpu in found), tuple(holders))


def plan(asked: Sequence[Wanted], here: Here) -> Plan:
    """Compare. What cannot be known counts as nothing, so a plan never refuses what it ignores."""
    refusals = [
        f"{one.name}: {one.memory.fault}" for one in asked if one.memory and one.memory.fault
    ]
    host_refusals, warnings = _host(asked, here)
    refusals += host_refusals
    on_gpu = [one for one in asked if one.device == "cuda" and one.memory is not None]
    if here.gpus:
        gpu_refusals, gpu_warnings = _gpus(on_gpu, here)
        refusals += gpu_refusals
        warnings += gpu_warnings
    return Plan(here, tuple(asked), tuple(refusals), tuple(warnings))


def check(
    engine: Engine,
    request: Request,
    say: Say,
    replacing: str | None = None,
    *,
    force: bool = False,
) -> None:
    """Raise `ServerError` with the numbers if this instance cannot fit here; say what may not.

    `replacing` is an instance that will be stopped first. With `force` a refusal is only said.
    """
    one = wanted(engine, request)
    if one.memory is None:
        return
    found = plan([one], look(() if replacing is None else (replacing,)))
    for words in found.warnings:
        say(f"warning: {words}")
    if not found.refusals:
        return
    words = " ".join(found.refusals)
    if force:
        say(f"warning: {words} Started all the same (--force).")
        return
    raise ServerError(
        f"{words} Nothing was started. `lab plan {engine.name}` shows the numbers. They are "
        f"estimates: `lab up {engine.name} … --force` starts it all the same."
    )


def kv_cache_bytes(one: Wanted, gpu: Gpu) -> int | None:
    """The KV cache of an instance that takes a share of this GPU: what its other parts leave."""
    if one.memory is None or one.memory.gpu_share is None or gpu.total_bytes is None:
        return None
    return int(one.memory.gpu_share * gpu.total_bytes) - one.memory.gpu(later=False)


def _host(asked: Sequence[Wanted], here: Here) -> tuple[list[str], list[str]]:
    memories = [one.memory for one in asked if one.memory is not None]
    start = sum(memory.host(later=False) for memory in memories)
    most = sum(memory.host(later=True) for memory in memories)
    to_come = sum(holder.host_to_come for holder in here.holders)
    free = here.host.free_bytes - to_come
    names = _names(asked)
    promised = (
        f", less {show(to_come)} that running instances have still to take" if to_come else ""
    )
    there = f"{show(here.host.free_bytes)} of {_of(here.host)} are free{promised}"
    if start > free:
        return [
            f"{names} will take {show(start)} of memory to start, and {there}: "
            f"{show(start - free)} too little. Stop something (`lab ps`), or ask for less "
            "(`lab knobs`)."
        ], []
    if start > 0 and _kept(memories) > here.host.total_bytes:
        return [
            f"The KV cache and weights of {names} may grow to {show(_kept(memories))}, more than "
            f"{_of(here.host)}: lower the number of sequences or their length."
        ], []
    if most > free:
        return [], [
            f"{names} will start with {show(start)} and may grow to {show(most)} under full load; "
            f"{there}. Beyond that the system kills a process."
        ]
    return [], []


def _kept(memories: Sequence[Memory]) -> int:
    """All but activations, which only the largest batches need."""
    return sum(
        part.host_bytes or 0
        for memory in memories
        for part in memory.parts
        if part.what != "activations"
    )


def _gpus(asked: Sequence[Wanted], here: Here) -> tuple[list[str], list[str]]:
    refusals: list[str] = []
    warnings: list[str] = []
    for one in asked:
        wants = one.memory.gpus if one.memory is not None else 0
        if wants > len(here.gpus):
            refusals.append(
                f"{one.name} wants {wants} GPUs, and {len(here.gpus)} can be seen here."
            )
    for place, gpu in enumerate(here.gpus):
        on_it = [one for one in asked if one.memory is not None and place < one.memory.gpus]
        if gpu.free_bytes is None or gpu.total_bytes is None or not on_it:
            continue
        refusals += [words for one in on_it if (words := _share_too_small(one, gpu))]
        start, most = (sum(taken(one, gpu, later) for one in on_it) for later in (False, True))
        there = f"{show(gpu.free_bytes)} of GPU {gpu.index}'s {show(gpu.total_bytes)} are free"
        if start > gpu.free_bytes:
            refusals.append(
                f"{_names(on_it)} will take at least {show(start)} of GPU {gpu.index}, and "
                f"{there}: {show(start - gpu.free_bytes)} too little."
            )
        elif most > gpu.free_bytes:
            warnings.append(f"{_names(on_it)} may run out of GPU memory under full load: {there}.")
    return refusals, warnings


def _share_too_small(one: Wanted, gpu: Gpu) -> str:
    """Why an instance that takes a share of the GPU has no room for a KV cache; mostly empty."""
    left = kv_cache_bytes(one, gpu)
    if one.memory is None or left is None or left > 0:
        return ""
    weights = one.memory.gpu(later=False)
    return (
        f"{one.name}: its weights alone are {show(weights)}, and its share of GPU {gpu.index} is "
        f"{show(weights + left)}: nothing is left for the KV cache."
    )


def taken(one: Wanted, gpu: Gpu, later: bool) -> int:
    """Bytes that an instance takes of this GPU: its share of it, or the sum of its parts."""
    memory = one.memory
    assert memory is not None and gpu.total_bytes is not None
    if memory.gpu_share is not None:
        return int(memory.gpu_share * gpu.total_bytes)
    return memory.gpu(later)


def _of(host: HostMemory) -> str:
    where = "this container's" if host.limited else "this machine's"
    return f"{where} {show(host.total_bytes)}"


def _names(asked: Sequence[Wanted]) -> str:
    names = [one.name for one in asked]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} together"


def _holder(instance: Instance, held: int, on_gpus: Mapping[int, int]) -> Holder:
    if instance.way == "docker":
        return Holder(instance.name, None, 0, on_gpus)
    memory = stated(instance)
    # Activations of the largest batch may never come: they are not set aside for it.
    to_come = max(_kept([memory]) - held, 0) if memory is not None else 0
    return Holder(instance.name, held, to_come, on_gpus)


def stated(instance: Instance) -> Memory | None:
    """What the engine of a running instance states of it; `None` if it states nothing."""
    engine = catalog.ENGINES.get(instance.engine)
    if engine is None or engine.memory is None:
        return None
    request = Request(
        instance=instance.name,
        settings={
            knob.name: instance.settings.get(knob.name, knob.default) for knob in engine.knobs
        },
        model=instance.model,
        served_name=instance.served_name,
        ports=instance.ports,
        host=instance.host,
        workspace=paths.workspace(instance.name),
        python=None,
        device="cuda" if instance.device == "cuda" else "cpu",
        way=instance.way,
    )
    return engine.memory(request)


def _held(pids: Collection[int]) -> int:
    """Memory of these processes, pages they share counted once."""
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_full_info().pss
        except (psutil.Error, AttributeError):
            continue
    return total


def _with_more(gpu: Gpu, size: int) -> Gpu:
    if gpu.free_bytes is None or gpu.total_bytes is None:
        return gpu
    return replace(gpu, free_bytes=min(gpu.free_bytes + size, gpu.total_bytes))
