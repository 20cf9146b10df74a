"""What runs here: the instances the lab started, read from their state files and checked.

Reading only. The supervisor writes these files; anyone may look.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any, Literal

from servers import paths, probe, processes
from servers.contract import Value, Way
from servers.errors import ServerError

State = Literal["starting", "running", "unhealthy", "dead"]


@dataclass(frozen=True)
class WarmKind:
    """How the requests of one kind fared in a warm-up: seconds to each whole answer, in order."""

    path: str
    latencies_s: tuple[float, ...]

    @property
    def first_s(self) -> float:
        """What the first request of the kind took."""
        return self.latencies_s[0]

    @property
    def last_s(self) -> float:
        """What they took at the end: the median of the last three."""
        return median(self.latencies_s[-3:])


@dataclass(frozen=True)
class WarmUp:
    """A warm-up as it was: whether the latency settled (else a cap ended it), by kind."""

    requests: int
    took_s: float
    settled: bool
    kinds: tuple[WarmKind, ...]

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> WarmUp:
        """The warm-up a state file describes; raises `KeyError`, `TypeError` or `ValueError`."""
        kinds = tuple(WarmKind(k["path"], tuple(k["latencies_s"])) for k in document["kinds"])
        return cls(**{**document, "kinds": kinds})


@dataclass(frozen=True)
class Instance:
    """One engine started by the lab.

    `pid` and `create_time` (seconds since the epoch) together name the process; `pid` is 0
    for the moment between the decision to start and the start. `ready` is `False` until the
    engine has answered `ready_url` once. `members` are the (pid, create time) pairs and `shm`
    the /dev/shm files its processes had when it became ready, `shm_prefix` what further ones
    begin with. `settings` holds every knob. `way` is how it is run, `title` what it really is,
    `cleanup` the command that removes what lives outside its processes. `ready_s` is the cold
    start: seconds from its start until it was ready; `warmup` what the warm-up found, `None` if
    there was none. `changing` is true from before a change of settings to after it: where it has
    stayed so, the change was cut short and `settings` may not be what it runs with. `memory_plan`
    is what it was expected to take (`servers.forecast`), `None` where its engine says nothing.
    """

    name: str
    engine: str
    pid: int
    create_time: float
    argv: tuple[str, ...]
    ports: Mapping[str, int]
    host: str
    base_url: str
    ready_url: str
    metrics_url: str | None
    log: str
    settings: Mapping[str, Value]
    model: str | None
    served_name: str
    device: str
    protocols: tuple[str, ...]
    job: str
    started_s: float
    ready_timeout_s: float
    stop_grace_s: float
    version: str | None = None
    ready: bool = False
    members: tuple[tuple[int, float], ...] = ()
    shm: tuple[str, ...] = ()
    shm_prefix: str | None = None
    way: Way = "environment"
    title: str = ""
    cleanup: tuple[str, ...] | None = None
    ready_s: float | None = None
    warmup: WarmUp | None = None
    changing: bool = False
    memory_plan: Mapping[str, Any] | None = None

    def to_json(self) -> str:
        """The text of the state file."""
        return json.dumps(asdict(self), indent=1)

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Instance:
        """The instance a state file describes; raises `KeyError`, `TypeError` or `ValueError`."""
        known = {field.name for field in fields(cls)}
        values = {key: value for key, value in document.items() if key in known}
        values["argv"] = tuple(str(word) for word in document["argv"])
        values["protocols"] = tuple(document["protocols"])
        values["members"] = tuple((int(p), float(t)) for p, t in document.get("members", ()))
        values["shm"] = tuple(document.get("shm", ()))
        if document.get("cleanup") is not None:
            values["cleanup"] = tuple(document["cleanup"])
        if document.get("warmup") is not None:
            values["warmup"] = WarmUp.from_json(document["warmup"])
        values["pid"], values["create_time"] = int(document["pid"]), float(document["create_time"])
        values["settings"] = {
            knob: tuple(value) if isinstance(value, list) else value
            for knob, value in document["settings"].items()
        }
        return cls(**values)


def state_file(name: str) -> Path:
    """Where the state of the instance of that name is written."""
    return paths.instances() / f"{name}.json"


def load(name: str) -> Instance | None:
    """The instance of that name as it was last written, or `None` if there is none.

    Raises `ServerError` if its state file is damaged.
    """
    path = state_file(name)
    try:
        return Instance.from_json(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ServerError(
            f"The state of {name!r} in {path} cannot be read ({error!r}). "
            f"`lab down {name}` stops what it left and removes the file."
        ) from error


def names() -> list[str]:
    """The names that have a state file, sorted."""
    return sorted(path.stem for path in paths.instances().glob("[!.]*.json"))


def all_instances() -> list[Instance]:
    """Every instance whose state file can be read, dead or alive, sorted by name."""
    found = []
    for name in names():
        try:
            instance = load(name)
        except ServerError:
            continue
        if instance is not None:
            found.append(instance)
    return found


def mark(instance: Instance) -> str:
    """What `processes.MARK` is in the environment of this very start's processes."""
    return f"{name_mark(instance.name)}{instance.started_s}:"


def name_mark(name: str) -> str:
    """What `processes.MARK` begins with in the processes of any start under that name."""
    return f"{paths.home()}:{name}:"


def leader_alive(instance: Instance) -> bool:
    """Whether the process the lab started still lives (and is not another of the same pid)."""
    return processes.is_same(instance.pid, instance.create_time, mark(instance))


def alive(instance: Instance) -> bool:
    """Whether any process of the instance lives, the one the lab started or a child of it."""
    return leader_alive(instance) or bool(members(instance))


def members(instance: Instance) -> list[processes.Member]:
    """The living processes of the instance, also those that outlived the one it started with."""
    return processes.find(mark(instance), instance.pid, instance.create_time, instance.members)


def by_processes(instance: Instance) -> State:
    """How the instance is by its processes alone: nothing is asked of it, so nothing can hang.

    `running` and `starting`: its first process lives, and it has answered once or has not yet.
    `unhealthy`: its first process is gone and others are left. `dead`: nothing is left of it.
    """
    if leader_alive(instance):
        return "running" if instance.ready else "starting"
    return "unhealthy" if members(instance) else "dead"


def status(instance: Instance) -> State:
    """How the instance is now, by looking.

    `running`: answers. `starting`: alive, has not answered yet and still has time to.
    `unhealthy`: its first process is gone and others are left, or it lives and does not answer.
    `dead`: nothing is left of it.
    """
    seen = by_processes(instance)
    if seen in ("unhealthy", "dead"):
        return seen
    patience_s = probe.SILENT_S if instance.ready else probe.STARTING_S
    if probe.answers(instance.ready_url, patience_s):
        return "running"
    waiting = not instance.ready and time.time() - instance.started_s < instance.ready_timeout_s
    return "starting" if waiting else "unhealthy"
