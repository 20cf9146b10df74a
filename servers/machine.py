"""How much memory this machine has for us: the system's, or a container's limit if that is less."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


@dataclass(frozen=True)
class HostMemory:
    """Bytes this machine has and has left. `limited` says that a cgroup, not the RAM, ends it."""

    total_bytes: int
    free_bytes: int
    limited: bool = False


def host_memory(cgroups: Path = _CGROUPS, membership: Path = _MEMBERSHIP) -> HostMemory:
    """What can be taken before something is swapped out or killed.

    Free is what the kernel could give without swapping (`MemAvailable`), and no more than any
    cgroup around this process still allows; files a cgroup caches can be dropped and count as
    free.
    """
    system = psutil.virtual_memory()
    total, free = system.total, system.available
    limited = False
    for limit, left in _limits(cgroups, membership):
        limited = limited or limit < total
        total, free = min(total, limit), min(free, left)
    return HostMemory(total, max(free, 0), limited)


def _limits(cgroups: Path, membership: Path) -> list[tuple[int, int]]:
    """The limit of every cgroup around this process that has one, and what is left of it."""
    found = []
    for line in _lines(membership):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            root, names = cgroups, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root = cgroups / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        for folder in _upwards(root, path):
            one = _limit(folder, *names)
            if one is not None:
                found.append(one)
    return found


def _upwards(root: Path, path: str) -> list[Path]:
    """The cgroup's folder and those above it. A container may see its own as the root."""
    below = Path(path.lstrip("/"))
    return [root / part for part in (below, *below.parents) if (root / part).is_dir()]


def _limit(folder: Path, most: str, used: str, cached: str) -> tuple[int, int] | None:
    try:
        limit = int((folder / most).read_text())
        use = int((folder / used).read_text())
    except (OSError, ValueError):
        return None  # `max` stands for none.
    droppable = 0
    for line in _lines(folder / "memory.stat"):
        name, _, value = line.partition(" ")
        if name == cached and value.isdigit():
            droppable = int(value)
    return limit, limit - max(use - droppable, 0)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
