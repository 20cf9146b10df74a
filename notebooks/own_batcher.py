"""A dynamic batcher written by hand, watched request by request, and measured on the engine."""

import asyncio
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from dashboard import units
from dashboard.figures import common, ticks
from dashboard.theme import lines_for_runs
from measure.server_series import histogram_increase
from measure.store import Run
from notebooks import kit
from notebooks.virtual_time import now_s, run_beside
from servers.catalog import ENGINES
from servers.fastapi_batcher.inside.batching import DeadlineBatcher
from servers.fastapi_batcher.inside.polling import PollingBatcher

ENGINE = "fastapi-batcher"
SIZE = 8
DELAY_S = 0.005
TICK_S = 0.010
_START_S = 0.004
_EACH_S = 0.001
_SMALLEST_WAIT_S = 1e-9
_SHORTEST_SLEEP_S = 1e-5
_PATIENCE_S = 1.0
NEVER = f"Some requests still wait, {_PATIENCE_S:g} s after the last one came: for ever."

Rule = Callable[[int, float], float]
"""From the number that wait and the seconds the oldest has waited: the seconds to wait on."""


class Batcher(Protocol):
    """What all batchers here have in common."""

    def submit(self, item: Any) -> asyncio.Future[Any]:
        """Take a request."""
        ...


@dataclass
class Told:
    """What became of one request, in seconds of the story's clock; NaN for what never was."""

    arrived_s: float
    began_s: float = math.nan
    ended_s: float = math.nan
    batch: int = -1
    outcome: str = "waits"


@dataclass(frozen=True)
class Story:
    """All requests of one batcher, in the order of their arrival."""

    name: str
    requests: tuple[Told, ...]


@dataclass
class _Model:
    """A model of the same speed for all: 4 ms a batch and 1 ms for each request in it."""

    told: dict[int, Told]
    bad: Collection[int]
    batches: int = field(default=0)

    async def __call__(self, items: list[int]) -> list[str]:
        number, self.batches = self.batches, self.batches + 1
        for item in items:
            self.told[item].began_s, self.told[item].batch = now_s(), number
        await asyncio.sleep(_START_S + _EACH_S * len(items))
        if wrong := sorted(set(self.bad) & set(items)):
            raise ValueError(f"request {wrong[0]} cannot be computed")
        return ["ok"] * len(items)


class HandMade:
    """A batcher that asks a rule of yours when to go: one batch at a time, in order."""

    def __init__(self, run: _Model, rule: Rule, size: int = SIZE) -> None:
        self._run, self._rule, self._size = run, rule, size
        self._queue: list[tuple[int, asyncio.Future[Any], float]] = []
        self._come = asyncio.Event()
        self._task = asyncio.create_task(self._work())

    def submit(self, item: int) -> asyncio.Future[Any]:
        """Take a request."""
        future = asyncio.get_running_loop().create_future()
        self._queue.append((item, future, now_s()))
        self._come.set()
        return future

    async def _work(self) -> None:
        while True:
            await self._until_due()
            batch, self._queue = self._queue[: self._size], self._queue[self._size :]
            results = await self._run([item for item, _, _ in batch])
            for (_, future, _), result in zip(batch, results, strict=True):
                future.set_result(result)

    async def _until_due(self) -> None:
        """Return when there is a request and the rule says so; ask it anew at each arrival."""
        while True:
            self._come.clear()
            wait_s = None
            if self._queue:
                wait_s = self._rule(len(self._queue), now_s() - self._queue[0][2])
                if wait_s <= _SMALLEST_WAIT_S:
                    return
            try:
                sleep_s = None if wait_s is None else max(wait_s, _SHORTEST_SLEEP_S)
                await asyncio.wait_for(self._come.wait(), sleep_s)
            except TimeoutError:
                continue


def polling(arrivals_s: Sequence[float], **more: Any) -> Story:
    """The engine's naive batcher: looks at its queue every 10 ms, at most 8 a batch."""
    return _play(
        "polling",
        lambda run: PollingBatcher(run, max_batch_size=SIZE, interval_s=TICK_S),
        arrivals_s,
        **more,
    )


def by_deadline(arrivals_s: Sequence[float], **more: Any) -> Story:
    """The engine's own batcher: at most 8 a batch, 5 ms of delay, 16 in the queue."""
    return _play(
        "deadline",
        lambda run: DeadlineBatcher(run, max_batch_size=SIZE, max_delay_s=DELAY_S, max_queue=16),
        arrivals_s,
        **more,
    )


def by_rule(rule: Rule, arrivals_s: Sequence[float], name: str = "your rule") -> Story:
    """A batcher that goes when `rule` says so.

    Raises `RuntimeError` if it lets some wait for ever, and what the rule itself raises.
    """
    faults: list[Exception] = []

    def careful(waiting: int, oldest_s: float) -> float:
        try:
            return float(rule(waiting, oldest_s))
        except Exception as error:
            faults.append(error)
            return _PATIENCE_S

    try:
        return _play(name, lambda run: HandMade(run, careful), arrivals_s)
    except RuntimeError:
        raise faults[0] if faults else RuntimeError(NEVER) from None


def _play(
    name: str,
    make: Callable[[_Model], Batcher],
    arrivals_s: Sequence[float],
    bad: Collection[int] = (),
    leave_s: dict[int, float] | None = None,
) -> Story:
    """Play requests to a batcher: those in `bad` cannot be computed, those in `leave_s` go then."""

    async def one(number: int, batcher: Batcher, told: Told) -> None:
        try:
            future = batcher.submit(number)
        except Exception:
            told.outcome = "refused"
            return
        if leave_s and number in leave_s:
            asyncio.get_running_loop().call_at(leave_s[number], future.cancel)
        try:
            await future
            told.outcome = "answered"
        except asyncio.CancelledError:
            told.outcome = "left"
        except Exception:
            told.outcome = "failed"
        told.ended_s = now_s()

    async def scenario() -> Story:
        told: dict[int, Told] = {}
        batcher = make(_Model(told, bad))
        asking = []
        for number, arrival_s in enumerate(arrivals_s):
            await asyncio.sleep(arrival_s - now_s())
            told[number] = Told(now_s())
            asking.append(asyncio.create_task(one(number, batcher, told[number])))
        done, waiting = await asyncio.wait(asking, timeout=_PATIENCE_S)
        if waiting:
            raise RuntimeError(NEVER)
        for task in done:
            task.result()
        return Story(name, tuple(told.values()))

    return run_beside(scenario)


def timeline(*stories: Story) -> go.Figure:
    """Every request as a bar from its arrival to its end: waiting, then computing."""
    figure = make_subplots(
        rows=len(stories),
        shared_xaxes=True,
        vertical_spacing=0.14,
        subplot_titles=[story.name for story in stories],
    )
    lines = lines_for_runs(("waiting", "computing"), dark=False)
    for row, story in enumerate(stories, 1):
        numbers = list(range(len(story.requests)))
        parts = {
            "waiting": [
                (one.arrived_s, _until(one.began_s, one.ended_s)) for one in story.requests
            ],
            "computing": [(one.began_s, one.ended_s) for one in story.requests],
        }
        for name, spans in parts.items():
            figure.add_bar(
                row=row,
                col=1,
                y=numbers,
                base=[begin_s for begin_s, _ in spans],
                x=[end_s - begin_s for begin_s, end_s in spans],
                orientation="h",
                name=name,
                legendgroup=name,
                showlegend=row == 1,
                marker={"color": lines[name].colour},
                hovertemplate="request %{y}: %{x:.4f} s " + name + "<extra></extra>",
            )
    figure.update_layout(common(150 + 170 * len(stories)), barmode="overlay")
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(rangemode="tozero", **ticks("s"))
    return figure.update_yaxes(autorange="reversed", title="request")


def told(*stories: Story) -> pd.DataFrame:
    """One row a story: waits, batches, and what became of the requests."""
    rows = []
    for story in stories:
        waits_s = [one.began_s - one.arrived_s for one in story.requests if one.batch >= 0]
        counts = {
            name: sum(one.outcome == name for one in story.requests)
            for name in ("answered", "failed", "refused", "left")
        }
        rows.append(
            {
                "batches": len({one.batch for one in story.requests if one.batch >= 0}),
                "mean wait": units.show(sum(waits_s) / len(waits_s), "s"),
                "longest wait": units.show(max(waits_s), "s"),
                **counts,
                "computed in vain": sum(
                    one.outcome == "left" and one.batch >= 0 for one in story.requests
                ),
            }
        )
    return pd.DataFrame(rows, index=[story.name for story in stories])


@dataclass(frozen=True)
class Account:
    """What the engine says of a run: mean requests a batch, and their mean wait for it (s)."""

    batch: float
    queue_s: float


def account(run: Run) -> Account:
    """The engine's own account of a run; NaN where its numbers were not kept."""
    return Account(_mean(run, "batch_size"), _mean(run, "queue_time"))


def table(*runs: Run) -> pd.DataFrame:
    """One row a run on the engine: what came, what was answered, and how late."""
    rows = []
    for run in runs:
        found, e2e, counts = account(run), run.summary["e2e_s"], run.summary["requests"]
        offered = run.summary["offered_rps"]
        rows.append(
            {
                "offered a second": "as answered" if offered is None else units.figures(offered),
                "answered": counts["ok"],
                "refused or failed": counts["failed"],
                "mean batch": units.figures(found.batch),
                "mean wait for a batch": units.show(found.queue_s, "s"),
                "E2E p50": units.show(e2e["p50"], "s"),
                "E2E p99": units.show(e2e["p99"], "s"),
            }
        )
    return pd.DataFrame(rows, index=kit.labels(runs))


def _mean(run: Run, concept: str) -> float:
    """Of a histogram, over the part of the run that counts."""
    metric = next(one for one in ENGINES[ENGINE].metrics if one.concept == concept)
    if run.server_metrics is None:
        return math.nan
    window = run.window
    gained = histogram_increase(run.server_metrics, metric.name, window.start_s, window.end_s)
    return math.nan if gained is None else gained.mean


def _until(began_s: float, ended_s: float) -> float:
    return ended_s if math.isnan(began_s) else began_s
