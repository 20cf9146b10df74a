"""What an engine is: facts and pure functions. All I/O on processes is the supervisor's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from servers.errors import ServerError
from servers.memory import Memory

Value = int | float | bool | str | tuple[int, ...] | None
Device = Literal["cpu", "cuda"]
Way = Literal["path", "environment", "docker"]
"""How an engine is run: a program on PATH, the lab's isolated environment, a Docker image."""
Say = Callable[[str], object]


@dataclass(frozen=True)
class Knob:
    """One setting of an engine.

    `name` is the lab's word, the same in every engine that has the idea; `flag` is what the
    engine itself calls it (a command-line flag, an environment variable, or a path in a
    configuration file). `trades` says in a sentence what raising it buys and costs.
    """

    name: str
    flag: str
    kind: Literal["int", "float", "bool", "str", "ints"]
    default: Value
    trades: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    unit: str = ""


@dataclass(frozen=True)
class Metric:
    """One metric family an engine exports, under the concept all engines share.

    `concept` is the lab's word (`ttft`, `itl`, `e2e`, `queue_time`, `running`, `waiting`,
    `kv_cache_usage`, `output_tokens`, `requests_ok`, `batch_size`, …); `name` is exactly what
    stands on `/metrics` (without `_bucket`, `_sum`, `_count`). `scale` turns it into seconds,
    bytes or ratios: microseconds have 1e-6. `selector` keeps the series that carry the concept:
    label and value, several values match any of them. `exact_sum` is false where an engine makes
    a histogram's sum up from its buckets: its mean is none then. `at_end` is true of a counter to
    which a request adds all it did when it has ended. `by` is the label whose values tell apart
    the series that a reader may want one by one (a reason, a status). `bounds` are the upper bounds
    of a histogram's buckets in the engine's own unit, of those that an objective is asked of.
    """

    concept: str
    name: str
    kind: Literal["gauge", "counter", "histogram", "summary"]
    unit: str
    help: str
    scale: float = 1.0
    selector: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    exact_sum: bool = True
    at_end: bool = False
    by: str = ""
    bounds: tuple[float, ...] = ()


@dataclass(frozen=True)
class Environment:
    """An isolated Python environment: `folder` holds `requirements.txt` (hashed, compiled).

    `torch` is installed on its own first, because its CPU build lives outside PyPI: from the
    user's wheelhouse (`PIP_FIND_LINKS`) if it is there, else through uv's `--torch-backend`.
    `cuda` names the requirements file used instead on a machine with a GPU. `title` is what it is
    for, where that is not the engine itself.
    """

    name: str
    folder: Path
    python: str = "3.11"
    torch: str | None = None
    cuda: str | None = None
    title: str = ""


@dataclass(frozen=True)
class Request:
    """All that an engine may know when it says how it is launched.

    `python` is that of its environment, if this way of running it has one; `program` is the
    engine's own program, where it runs by the way `path`.
    """

    instance: str
    settings: Mapping[str, Value]
    model: str | None
    served_name: str
    ports: Mapping[str, int]
    host: str
    workspace: Path
    python: Path | None
    device: Device
    way: Way = "environment"
    program: Path | None = None

    @property
    def interpreter(self) -> Path:
        """The Python of its environment. Raises `ServerError` if this way of running has none."""
        if self.python is None:
            raise ServerError(f"{self.instance}: its environment is needed, to be run this way.")
        return self.python

    @property
    def reachable_host(self) -> str:
        """The address to ask a server that listens on `host`."""
        return "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host

    def number(self, knob: str) -> float:
        """A setting that is a number. Raises `TypeError` for any other."""
        value = self.settings[knob]
        if not isinstance(value, int | float):
            raise TypeError(f"{knob} is {value!r} and no number")
        return value

    def whole(self, knob: str) -> int:
        """A setting that is a whole number. Raises `TypeError` for one that is no number."""
        return int(self.number(knob))


@dataclass(frozen=True)
class Launch:
    """How to start one instance, where to reach it, and how to know that it is ready.

    It is ready when a GET of `ready_url` gives a 2xx status, and, where the URL ends in `#WORD`,
    an answer with that word in it (a server that answers before it can serve).
    It runs in `cwd`, or else in the instance's own workspace. `shm_prefix` is what its files in
    /dev/shm begin with, if it can be told that: they are removed with it however it ends.

    `title` is what it really is, where that is not what the engine is called (a stand-in says
    so wherever it shows). `cleanup` is a command that removes what lives outside its processes
    (a container); it is run when they have gone, and may find nothing to do.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str]
    base_url: str
    ready_url: str
    metrics_url: str | None = None
    ready_timeout_s: float = 300.0
    stop_grace_s: float = 20.0
    cwd: Path | None = None
    shm_prefix: str | None = None
    title: str | None = None
    cleanup: tuple[str, ...] | None = None


@dataclass(frozen=True)
class WarmRequest:
    """One real request of the warm-up: JSON to post to `path` under the base URL."""

    path: str
    body: Mapping[str, object]


@dataclass(frozen=True)
class OfflineLaunch:
    """How an engine is run without a server over it, for a batch (`servers.offline`)."""

    argv: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True)
class Engine:
    """A kind of server. One folder `servers/<name>/` makes one of these.

    `ports` maps a port's name to the number tried first; the first is the one that answers
    requests. `launch` is pure; `prepare` may write into `request.workspace` (a configuration
    file, a model repository) and is called just before the start; it
    tells of long work through `Say`. `protocols` are the load
    test's words for what it answers, the usual one first; `served_models` says by protocol which
    model answers it, where that is not the instance's served name. `resolve_model` turns the user's
    `--model` into a checked local folder or a Hugging Face id (raises `ServerError` if it is
    neither), making the lab's own default if nothing was asked for; an engine without a model
    has no such function. `version` asks a ready instance, by its base URL, what it is. `job` is the
    Prometheus label its `/metrics` is scraped under, and `metrics_lag_s` how late at most what it
    has done is to be seen there.

    `ways` are the ways it can be run, in the order in which the lab tries them: `program` is its
    name on PATH, `image` its pinned Docker image. `environment_for` are the ways that need the
    environment. `warm_requests` are what a warm-up sends, in turn, until latency settles.

    `no_knob` names ideas that other engines have a knob for and this one has not, by the knob's
    name, with why.

    `memory` states what an instance will take, from settings and the model's files alone, so that
    what cannot fit is refused before it is started (`servers.planner`); one that takes next to
    nothing has no such function.

    `notebooks` are the notebooks of the course that teach it, by their file names without `.py`.

    `offline` says how it answers a file of prompts without a server: called with the file and the
    descriptor that the job reports on. Left out, the engine has no such form.

    `reload` gives a running instance other settings without a restart: called with what runs and
    what is asked, which differ in settings only, it has changed all of them, or nothing and
    returns `False` (it must be started anew). It raises `ServerError` with the old settings in
    force again, or `UnsettledError` if they could not be put back.
    """

    name: str
    title: str
    summary: str
    ports: Mapping[str, int]
    launch: Callable[[Request], Launch]
    knobs: tuple[Knob, ...] = ()
    no_knob: Mapping[str, str] = field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()
    protocols: tuple[str, ...] = ()
    served_models: Mapping[str, str] = field(default_factory=dict)
    environment: Environment | None = None
    prepare: Callable[[Request, Say], None] | None = None
    resolve_model: Callable[[str | None, Say], str | None] | None = None
    version: Callable[[str], str | None] | None = None
    job: str = "engine"
    metrics_lag_s: float = 0.0
    ways: tuple[Way, ...] = ("environment",)
    environment_for: tuple[Way, ...] = ("environment",)
    program: str = ""
    image: str = ""
    warm_requests: Callable[[Request], tuple[WarmRequest, ...]] | None = None
    memory: Callable[[Request], Memory] | None = None
    reload: Callable[[Request, Request, Say], bool] | None = None
    offline: Callable[[Request, Path, int], OfflineLaunch] | None = None
    notebooks: tuple[str, ...] = ()

    def knob(self, name: str) -> Knob | None:
        """The knob of that name, or `None`."""
        return next((knob for knob in self.knobs if knob.name == name), None)
