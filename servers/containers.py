"""Which processes of the machine are a container's. Docker's engine starts them, not the lab.

Their cgroup names the container, and any user may read that of any process.
"""

from __future__ import annotations

import subprocess
from collections.abc import Collection
from pathlib import Path

from servers import docker, paths
from servers.instances import Instance

_ANSWERS_WITHIN_S = 3.0
_PROC = Path("/proc")


class Containers:
    """Knows the containers of the lab's instances by their ids; asks Docker once for each."""

    def __init__(self, proc: Path = _PROC) -> None:
        self._proc = proc
        self._ids: dict[tuple[str, float], str] = {}

    def pids(self, instance: Instance, candidates: Collection[int]) -> set[int]:
        """Those of `candidates` that run in the instance's container; none if it has none."""
        if instance.way != "docker" or not candidates:
            return set()
        key = (instance.name, instance.started_s)
        found = self._ids.get(key) or _id(docker.name_of(instance.name, paths.workspace(key[0])))
        if not found:
            return set()
        self._ids[key] = found
        return {pid for pid in candidates if found in self._cgroup(pid)}

    def _cgroup(self, pid: int) -> str:
        try:
            return (self._proc / str(pid) / "cgroup").read_text(encoding="utf-8")
        except OSError:
            return ""


def _id(name: str) -> str:
    """The id of the container of that name, 64 digits; empty if there is none or no answer."""
    try:
        answer = subprocess.run(
            ["docker", "inspect", "--type", "container", "--format", "{{.Id}}", name],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_ANSWERS_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    said = answer.stdout.strip()
    return said if answer.returncode == 0 and len(said) == 64 else ""
