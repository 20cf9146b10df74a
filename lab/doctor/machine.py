"""What any machine has: Python, memory, disk, ports, and the programs beside the engines."""

import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import psutil

from lab.doctor.check import Check, lacking, note
from lab.doctor.tools import Said, ask
from servers import ports as lab_ports
from servers import processes
from servers.catalog import ENGINES
from servers.environments import find_uv
from servers.errors import ServerError
from servers.machine import HostMemory, host_memory
from servers.memory import GIB, show
from servers.paths import ROOT
from servers.prometheus import binary
from servers.torchserve import java as java_of

DISK_NEEDED_GIB = 8
MEMORY_NEEDED_GIB = 8
SHM_NEEDED_GIB = 1
_UNPACKS = ("apt-get", "dpkg")


def python() -> Check:
    """The Python that runs the lab."""
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Check("Python", "ok", version)
    return Check("Python", "missing", version, "the lab is tested on Python 3.11 to 3.13")


def uv() -> Check:
    """What builds the environments."""
    try:
        return Check("uv", "ok", find_uv())
    except ServerError:
        return Check("uv", "missing", "not on PATH", "`make lab` installs it into .lab/tools/uv")


def memory() -> Check:
    """What is free, within a container's limit."""
    return memory_line(host_memory())


def memory_line(host: HostMemory) -> Check:
    """The line for this memory."""
    of = "this container's limit" if host.limited else "all"
    found = f"{show(host.free_bytes)} free of {of} {show(host.total_bytes)}".replace("all ", "")
    if host.free_bytes >= MEMORY_NEEDED_GIB * GIB:
        return Check("memory", "ok", found)
    advice = f"vLLM and Triton side by side on the CPU want {MEMORY_NEEDED_GIB} GiB: `lab plan`"
    return lacking("memory", found, advice)


def disk() -> Check:
    """Room for environments and models."""
    return disk_line(ROOT, "disk", DISK_NEEDED_GIB, "environments and models want")


def shared_memory() -> Check:
    """Room for what engines' processes say to each other; a container has 64 MiB by default."""
    use = "engines' processes talk through it (`docker run --shm-size`); they want"
    return disk_line(Path("/dev/shm"), "shared memory", SHM_NEEDED_GIB, use)


def disk_line(folder: Path, what: str, needed_gib: int, use: str) -> Check:
    """How much is free at `folder`."""
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return lacking(what, f"{folder}: {error.strerror}", f"{use} {needed_gib} GiB")
    found = f"{show(free)} free at {folder}"
    if free >= needed_gib * GIB:
        return Check(what, "ok", found)
    return lacking(what, found, f"{use} {needed_gib} GiB")


def prometheus() -> Check:
    """The program that keeps the metrics."""
    try:
        found = binary.find()
    except ServerError as error:
        return Check("Prometheus", "missing", str(error), "correct the variable")
    if found:
        return Check("Prometheus", "ok", str(found))
    if all(shutil.which(program) for program in _UNPACKS):
        advice = "`lab up prometheus` unpacks the system's package, without root"
        return note("Prometheus", "not on PATH", advice)
    advice = "put a prometheus binary on PATH, or its path in SERVING_LAB_PROMETHEUS"
    return Check("Prometheus", "missing", "not on PATH", advice)


def java() -> Check:
    """The Java that TorchServe's server runs on: the first that is new enough."""
    candidates = (*map(str, java_of.at_home()), "java", *map(str, java_of.unpacked()))
    said = [
        (candidate, answer)
        for candidate in candidates
        if (answer := ask([candidate, "-version"])) is not None
    ]
    return java_line(said, all(shutil.which(program) for program in _UNPACKS))


def java_line(said: Sequence[tuple[str, Said]], can_unpack: bool) -> Check:
    """From what each `java -version` printed."""
    faults = []
    for program, answer in said:
        release = java_of.read_release(f"{answer.err}\n{answer.out}")
        if answer.code == 0 and release is not None and release >= java_of.LEAST:
            return Check("Java", "ok", f"{release} ({program})", needed=False)
        faults.append(f"{program} is {release or answer.last_words}")
    found = "; ".join(faults) or "not on PATH, no JAVA_HOME"
    use = f"only TorchServe needs it, {java_of.LEAST} or newer:"
    if can_unpack:
        return note("Java", found, f"{use} `lab up torchserve` unpacks the system's, without root")
    return lacking("Java", found, f"{use} install a JRE, or set JAVA_HOME")


def ports() -> Check:
    """Whether the ports that engines try first are free, and who has those that are not."""
    ours = lab_ports.of_instances()
    wanted: dict[int, list[str]] = {}
    for engine in ENGINES.values():
        for port in engine.ports.values():
            wanted.setdefault(port, []).append(engine.name)
    busy = _listened_to(wanted)
    return ports_line(wanted, {port: ours.get(port) or _whose(port) for port in busy}, set(ours))


def ports_line(
    wanted: Mapping[int, Sequence[str]], taken: Mapping[int, str], ours: Collection[int]
) -> Check:
    """`wanted` ports with the engines that try them, `taken` ones with who has them."""
    foreign = [
        f"{port} ({', '.join(dict.fromkeys(wanted[port]))}): {who}"
        for port, who in sorted(taken.items())
        if port not in ours
    ]
    mine = [f"{port}: {who}" for port, who in sorted(taken.items()) if port in ours]
    running = f"; the lab's own: {', '.join(mine)}" if mine else ""
    if not foreign:
        return Check("ports", "ok", f"{len(wanted) - len(mine)} free{running}", needed=False)
    advice = "engines take the next free one; free it where you want the usual number"
    return note("ports", f"taken: {'; '.join(foreign)}{running}", advice)


def browser() -> Check:
    """What the browser tests and the reading copies of notebooks want."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return Check("browser", "ok", found)
    advice = "only the browser tests and `make notebooks` want one: install chromium"
    return note("browser", "no Chromium on PATH", advice)


def _listened_to(wanted: Collection[int]) -> set[int]:
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return set()
    return {
        connection.laddr.port
        for connection in connections
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and connection.laddr.port in wanted
    }


def _whose(port: int) -> str:
    return processes.words(next(iter(processes.listeners(port)), None))
