"""The way an engine is run here: what the user said, else the first of its ways that can be."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from servers.contract import Engine, Way
from servers.errors import ServerError

_DOCKER_ANSWERS_WITHIN_S = 10.0
_IN_WORDS: dict[Way, str] = {
    "path": "a program on PATH",
    "environment": "the lab's own environment",
    "docker": "Docker",
}


@dataclass(frozen=True)
class Choice:
    """How an engine is run. `why` is for the person; empty where there is only this way."""

    way: Way
    program: Path | None = None
    why: str = ""


def choose(
    engine: Engine, asked: Way | None, docker: Callable[[], str | None] | None = None
) -> Choice:
    """The way asked for, or the first of the engine's ways that this machine has.

    `docker` says why Docker cannot be used, or `None` if it can. Raises `ServerError` if the
    engine has no such way, if what it needs is not here, or if none of its ways can be had.
    """
    docker = docker or docker_fault
    if asked is not None and asked not in engine.ways:
        raise ServerError(
            f"{engine.name} cannot be run by --way {asked}; it can by: {', '.join(engine.ways)}."
        )
    faults: list[str] = []
    for way in (asked,) if asked is not None else engine.ways:
        fault, program = _look(engine, way, docker)
        if fault is None:
            return Choice(way, program, _why(engine, way, program, asked is not None, faults))
        faults.append(f"{_IN_WORDS[way]}: {fault}")
    raise ServerError(
        f"{engine.title} cannot be run here. {'; '.join(faults)}. Install one of these, or "
        "see `lab doctor`."
    )


@lru_cache(maxsize=1)
def docker_fault() -> str | None:
    """Why `docker run` cannot work here, or `None` if an engine of Docker answers."""
    docker = shutil.which("docker")
    if docker is None:
        return "there is no `docker` on PATH"
    try:
        answer = subprocess.run(
            [docker, "info", "--format", "{{.ServerVersion}}"],
            capture_output=True,
            text=True,
            timeout=_DOCKER_ANSWERS_WITHIN_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"`docker info` does not answer ({error})"
    if answer.returncode != 0:
        last = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
        return f"no Docker engine answers ({last})"
    return None


def _look(
    engine: Engine, way: Way, docker: Callable[[], str | None]
) -> tuple[str | None, Path | None]:
    """What is missing for this way, if anything, and the program found."""
    if way == "environment":
        return None, None
    if way == "docker":
        return docker(), None
    found = shutil.which(engine.program, path=os.environ.get("PATH", ""))
    if found is None:
        return f"there is no `{engine.program}` on PATH", None
    return None, Path(found)


def _why(engine: Engine, way: Way, program: Path | None, asked: bool, faults: list[str]) -> str:
    if len(engine.ways) == 1:
        return ""
    what = {"path": str(program), "docker": engine.image}.get(way, _IN_WORDS[way])
    if asked:
        return f"runs by {what}, as asked"
    return f"runs by {what}" + (f" ({'; '.join(faults)})" if faults else "")
