"""The `docker run` command line of an engine. Pure: nothing here talks to Docker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from servers.contract import Request


@dataclass(frozen=True)
class Container:
    """What a container needs. `ports` maps a port inside to one of this machine.

    `mounts` maps a folder of this machine to where it stands inside; `pass_env` are variables
    handed over by name, so that their values (tokens) stand in no command line and in no log.
    """

    image: str
    arguments: Sequence[str]
    ports: Mapping[int, int]
    mounts: Mapping[Path, str] = field(default_factory=dict)
    read_only: frozenset[Path] = frozenset()
    env: Mapping[str, str] = field(default_factory=dict)
    pass_env: Sequence[str] = ()
    shm_bytes: int = 2**30


def name(request: Request) -> str:
    """The container's name: of this lab and this instance, and of no other."""
    return name_of(request.instance, request.workspace)


def name_of(instance: str, workspace: Path) -> str:
    """The name of the container of the instance with that workspace."""
    lab = hashlib.sha256(str(workspace).encode()).hexdigest()[:8]
    return f"serving-lab-{lab}-{instance}"


def run_argv(request: Request, container: Container) -> tuple[str, ...]:
    """The whole `docker run`, in the foreground: the container ends with the process."""
    words = [
        *("docker", "run", "--rm", "--init", "--name", name(request)),
        *(("--gpus", "all") if request.device == "cuda" else ()),
        *("--shm-size", f"{container.shm_bytes // 2**20}m"),
    ]
    for inside, outside in container.ports.items():
        words += ["--publish", f"{request.host}:{outside}:{inside}"]
    for folder, inside_path in container.mounts.items():
        mode = ":ro" if folder in container.read_only else ""
        words += ["--volume", f"{folder}:{inside_path}{mode}"]
    for variable, value in container.env.items():
        words += ["--env", f"{variable}={value}"]
    for variable in container.pass_env:
        words += ["--env", variable]
    return (*words, container.image, *container.arguments)


def cleanup_argv(request: Request) -> tuple[str, ...]:
    """Removes the container, whatever became of the process that started it."""
    return ("docker", "rm", "--force", name(request))
