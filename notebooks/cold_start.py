"""Cold starts and warm-ups, watched from outside as a load balancer would watch them."""

import contextlib
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx
import pandas as pd
import plotly.graph_objects as go

from dashboard import units
from dashboard.figures import common, ticks
from dashboard.theme import lines_for_runs
from notebooks import kit
from servers import instances, paths, probe
from servers.catalog import ENGINES
from servers.contract import Request, Value, WarmRequest
from servers.instances import Instance

_POLL_S = 0.02
_PATIENCE_S = 60.0
_HEIGHT = 360
_PHASES = ("port open", "health 200", "ready", "first answer", "steady")


@dataclass(frozen=True)
class Start:
    """One cold start and the warm-up after it.

    `port_s`, `health_s` and `ready_s` are seconds from the start of the process: until its port
    took a connection, until the health check asked for gave 200, and until the lab's own
    readiness check did. `latencies_s` are the answers of the warm-up, requests of one kind sent one
    after another; `last_s` is their median at the end, and `settled` whether it stood still.
    """

    name: str
    port_s: float
    health_s: float
    ready_s: float
    latencies_s: tuple[float, ...]
    last_s: float
    settled: bool

    @property
    def slow(self) -> int:
        """How many answers from the first on took more than twice the last."""
        return leading_slow(self.latencies_s, 2 * self.last_s)

    @property
    def first_answer_s(self) -> float:
        """From the start of the process to the first answer, asked as soon as it was ready."""
        return self.ready_s + self.latencies_s[0]

    @property
    def steady_s(self) -> float:
        """From the start of the process to the end of its last slow answer, asked likewise."""
        return self.ready_s + sum(self.latencies_s[: max(self.slow, 1)])


def leading_slow(latencies_s: Sequence[float], limit_s: float) -> int:
    """How many latencies from the first on are above the limit."""
    return next((n for n, one in enumerate(latencies_s) if one <= limit_s), len(latencies_s))


def measure(engine: str, *, health: str, **settings: Value) -> Start:
    """Start the engine cold, watch it from outside, then warm it up as `lab up` does.

    `health` is the path of the health check to watch, at its port.
    """
    watcher = Watcher(engine, health)
    watcher.start()
    try:
        cold = kit.up(engine, cold=True, **settings)
    finally:
        watcher.over.set()
        watcher.join()
    warm = kit.up(engine, **settings)
    assert cold.ready_s is not None and warm.warmup is not None
    kind = warm.warmup.kinds[0]
    return Start(
        name=warm.name,
        port_s=watcher.port_s or cold.ready_s,
        health_s=watcher.health_s or cold.ready_s,
        ready_s=cold.ready_s,
        latencies_s=kind.latencies_s,
        last_s=kind.last_s,
        settled=warm.warmup.settled,
    )


class Watcher(threading.Thread):
    """Asks a starting instance again and again: is its port open, does its health check answer?

    `port_s` and `health_s` are seconds from the start of its process, `None` until they are known.
    """

    def __init__(self, name: str, health: str) -> None:
        super().__init__(daemon=True)
        self.name, self._health = name, health
        self._began_s = time.time()
        self.over = threading.Event()
        self.port_s: float | None = None
        self.health_s: float | None = None

    def run(self) -> None:
        """Until both are known, or `over` is set."""
        while not self.over.is_set() and self.health_s is None:
            instance = instances.load(self.name)
            if instance is not None and instance.started_s >= self._began_s:
                port = next(iter(instance.ports.values()))
                if self.port_s is None and _open(instance.host, port):
                    self.port_s = time.time() - instance.started_s
                if probe.answers(f"http://{instance.host}:{port}{self._health}", timeout_s=0.5):
                    self.health_s = time.time() - instance.started_s
            self.over.wait(_POLL_S)


def _open(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), timeout=0.2):
        return True
    return False


@dataclass(frozen=True)
class Early:
    """One request sent with the first health 200: what came of it, and after how many seconds."""

    outcome: str
    took_s: float


def impatient(engine: str, *, health: str, **settings: Value) -> Early:
    """Start the engine cold and ask it one thing as soon as its health check gives 200."""
    found: list[Early] = []
    watcher = Watcher(engine, health)
    watcher.start()
    asker = threading.Thread(target=_ask_when_healthy, args=(watcher, found), daemon=True)
    asker.start()
    try:
        kit.up(engine, cold=True, **settings)
    finally:
        watcher.join(5.0)
        watcher.over.set()
        asker.join(_PATIENCE_S)
    return found[0] if found else Early("no answer", _PATIENCE_S)


def _ask_when_healthy(watcher: Watcher, found: list[Early]) -> None:
    watcher.join()
    instance = instances.load(watcher.name)
    if watcher.health_s is None or instance is None:
        return
    request = _first_request(instance)
    began_s = time.monotonic()
    try:
        answer = httpx.post(
            instance.base_url + request.path, json=dict(request.body), timeout=_PATIENCE_S
        )
        outcome = f"HTTP {answer.status_code}"
    except httpx.HTTPError as error:
        outcome = type(error).__name__
    found.append(Early(outcome, time.monotonic() - began_s))


def _first_request(instance: Instance) -> WarmRequest:
    """The first of those that the engine's warm-up would send."""
    engine = ENGINES[instance.engine]
    assert engine.warm_requests is not None
    asked = Request(
        instance=instance.name,
        settings=instance.settings,
        model=instance.model,
        served_name=instance.served_name,
        ports=instance.ports,
        host=instance.host,
        workspace=paths.workspace(instance.name),
        python=None,
        device="cpu",
        way=instance.way,
    )
    return engine.warm_requests(asked)[0]


def table(starts: Sequence[Start]) -> pd.DataFrame:
    """When each was reached, in seconds from the start of the process; one column a server."""
    rows: dict[str, list[str]] = {phase: [] for phase in _PHASES}
    rows |= {"first answer took": [], "last answers took": [], "slow answers": []}
    for one in starts:
        for phase, at_s in zip(_PHASES, _moments(one), strict=True):
            rows[phase].append(f"{at_s:.2f} s")
        rows["first answer took"].append(units.show(one.latencies_s[0], "s"))
        rows["last answers took"].append(units.show(one.last_s, "s"))
        rows["slow answers"].append(f"{one.slow} of {len(one.latencies_s)}")
    return pd.DataFrame(rows, index=[one.name for one in starts]).T


def _moments(one: Start) -> tuple[float, ...]:
    return (one.port_s, one.health_s, one.ready_s, one.first_answer_s, one.steady_s)


def phases(starts: Sequence[Start]) -> go.Figure:
    """When a server reached each milestone (right), on a line for each server."""
    figure = go.Figure()
    lines = lines_for_runs(_PHASES, dark=False)
    marks = ("circle-open", "diamond-open", "square", "star", "cross")
    for number, (phase, mark) in enumerate(zip(_PHASES, marks, strict=True)):
        figure.add_scatter(
            x=[_moments(one)[number] for one in starts],
            y=[one.name for one in starts],
            name=phase,
            mode="markers",
            marker={"color": lines[phase].colour, "symbol": mark, "size": 13},
            hovertemplate="%{x:.2f} s",
        )
    figure.update_layout(common(_HEIGHT))
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(type="category")
    return figure.update_xaxes(
        title="seconds from the start of the process", ticksuffix=" s", rangemode="tozero"
    )


def curves(starts: Sequence[Start]) -> go.Figure:
    """How long each answer took (up), by its number (right), one line a server."""
    figure = go.Figure()
    lines = lines_for_runs([one.name for one in starts], dark=False)
    for one in starts:
        figure.add_scatter(
            x=list(range(1, len(one.latencies_s) + 1)),
            y=one.latencies_s,
            name=one.name,
            mode="lines+markers",
            line={"color": lines[one.name].colour, "dash": lines[one.name].dash, "width": 2},
            text=[units.show(value, "s") for value in one.latencies_s],
            hovertemplate="answer %{x}: %{text}",
        )
    figure.update_layout(common(_HEIGHT))
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(title="answers since it was ready", dtick=2)
    return figure.update_yaxes(title="time to the whole answer", type="log", **ticks("s"))
