"""Batch, queue and requests in flight over the time of a run. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dashboard.engine_side import BATCHES
from dashboard.theme import Line
from dashboard.words import t
from measure import latency, server_timeline
from measure.concurrency import in_flight
from measure.quantiles import Floats
from measure.store import Run
from servers.contract import Engine, Metric

Series = tuple[Floats, Floats]


@dataclass(frozen=True)
class Timeline:
    """What one run did over its time: seconds from its start, and values.

    `batches` are by what a batch is counted in (a title of `engine_side.BATCHES`). `missing` says
    in words what the run does not tell, and why.
    """

    batches: Mapping[str, Series]
    waiting: Series | None
    running: Series | None
    in_flight: Series
    missing: tuple[str, ...]


def of_run(run: Run, engines: Mapping[str, Engine]) -> Timeline:
    """The run's timeline. Raises `DamagedRunError` if its series cannot be read."""
    sent = _in_flight(run)
    table = run.server_metrics
    if table is None:
        why = (
            t("The engine's series are written when the run ends.")
            if run.running
            else t("No series of the engine were kept with this run.")
        )
        return Timeline({}, None, None, sent, (why,))
    engine = engines.get(str(run.manifest["engine"].get("name")))
    metrics = engine.metrics if engine else ()
    batches = _batches(table, metrics)
    waiting = _gauge(table, metrics, ("waiting", "classify_waiting"))
    missing = []
    if not batches:
        missing.append(
            t(
                "Its engine counts an answer's tokens when it has ended and its steps as they are "
                "made: over a few seconds that tells of no batch."
            )
            if any(one.at_end and one.concept in BATCHES for one in metrics)
            else t("Its engine's series hold no batch that the lab knows.")
        )
    if waiting is None:
        missing.append(t("Its engine exports no queue."))
    return Timeline(batches, waiting, _gauge(table, metrics, ("running",)), sent, tuple(missing))


def _in_flight(run: Run) -> Series:
    """While a run goes on, up to where nothing is still under way, unless it is the slowest yet.

    A request has a record when it is over: the newest moments lack those that are not.
    """
    times_s, flying = in_flight(run.records)
    if not run.running or not times_s.size:
        return times_s, flying
    took_s = latency.column(run.records, "done_s") - latency.column(run.records, "sent_s")
    slowest_s = np.nanmax(took_s, initial=0.0)
    known = times_s <= times_s[-1] - slowest_s
    return times_s[known], flying[known]


def _batches(table: pa.Table, metrics: Sequence[Metric]) -> dict[str, Series]:
    found: dict[str, Series] = {}
    for metric in metrics:
        title, over = BATCHES.get(metric.concept, ("", ""))
        counted = next((one for one in metrics if one.concept == over), None)
        if not title or (over and counted is None) or metric.at_end:
            continue
        names = (metric.name, counted.name) if counted else (f"{metric.name}_sum", "")
        times_s, values = server_timeline.ratio(
            table, names[0], names[1] or f"{metric.name}_count", metric.selector
        )
        if (values > 0).any():
            found[title] = (times_s, values)
    return found


def _gauge(table: pa.Table, metrics: Sequence[Metric], concepts: Sequence[str]) -> Series | None:
    """The first of these gauges that the run has."""
    for concept in concepts:
        for metric in metrics:
            if metric.concept == concept:
                times_s, values = server_timeline.gauge(table, metric.name, metric.selector)
                if times_s.size:
                    return times_s, values * metric.scale
    return None


@dataclass(frozen=True)
class Drawn:
    """What one figure shows, by the name of each curve."""

    rates: Mapping[str, Series]
    lines: Mapping[str, Line]


def batch_curves(timelines: Mapping[str, Timeline], lines: Mapping[str, Line]) -> Drawn:
    """A curve a run; what its batches count is in the name."""
    rates, styles = {}, {}
    for run, timeline in timelines.items():
        for nth, (title, series) in enumerate(timeline.batches.items()):
            name = f"{run}: {t(title)}"
            rates[name], styles[name] = series, lines[run].nth(nth)
    return Drawn(rates, styles)


def queue_curves(timelines: Mapping[str, Timeline], lines: Mapping[str, Line]) -> Drawn:
    """What waits in each run's engine."""
    rates = {run: one.waiting for run, one in timelines.items() if one.waiting is not None}
    return Drawn(rates, lines)


def flight_curves(timelines: Mapping[str, Timeline], lines: Mapping[str, Line]) -> Drawn:
    """What the client has in flight, and what the engine says it computes."""
    rates, styles = {}, {}
    for run, timeline in timelines.items():
        name = t("{run}: client", run=run)
        rates[name], styles[name] = timeline.in_flight, lines[run]
        if timeline.running is not None:
            name = t("{run}: engine", run=run)
            rates[name], styles[name] = timeline.running, lines[run].nth(1)
    return Drawn(rates, styles)
