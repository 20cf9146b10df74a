"""What notebook 09 asks of a server's own metrics, of Prometheus, and of the records beside them.

Queries and figures are the dashboard's: what the notebook draws is what its Live page draws.
"""

import math
import os
import re
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import httpx
import numpy as np
import pandas as pd
import plotly.graph_objects as go

from dashboard import figures, panels, prometheus, promql, sources, theme, units
from dashboard.figures import Band, Curve
from dashboard.live import asking, drawing
from dashboard.prometheus import Failure, Series
from dashboard.sources import Source
from dashboard.theme import Line
from measure import latency
from measure.quantiles import Floats, carried, quantile
from measure.server_histogram import Bounds, quantile_bounds
from measure.store import Run
from notebooks.errors import NotebookError
from servers.instances import Instance

KINDS = ("counter", "gauge", "histogram", "summary")
_HEIGHT = 360
_TYPE = re.compile(r"# TYPE (\S+) (\S+)")


@dataclass(frozen=True)
class Family:
    """One metric of a page: its name, its kind as the page declares it, and its lines."""

    name: str
    kind: str
    lines: tuple[str, ...]


def page(instance: Instance) -> str:
    """What the server says when Prometheus comes: the text of its `/metrics`."""
    return httpx.get(str(instance.metrics_url), timeout=10.0).raise_for_status().text


def families(text: str) -> list[Family]:
    """The metrics of a page in Prometheus' text format, in their order on it."""
    found: list[tuple[str, str, list[str]]] = []
    for line in text.splitlines():
        if declared := _TYPE.match(line):
            found.append((declared[1], declared[2], []))
        elif line and not line.startswith("#") and found:
            found[-1][2].append(line)
    return [Family(name, kind, tuple(lines)) for name, kind, lines in found]


def count_kinds(pages: Mapping[str, str]) -> pd.DataFrame:
    """How many metrics of each kind each page has."""
    counted = {
        name: [sum(one.kind == kind for one in families(text)) for kind in KINDS]
        for name, text in pages.items()
    }
    return pd.DataFrame(counted, index=list(KINDS))


def lines_of(text: str, name: str, pattern: str = "", most: int = 8) -> str:
    """The first lines of one metric in which `pattern` is found; `LookupError` if there is none."""
    found = [
        line
        for one in families(text)
        if one.name == name
        for line in one.lines
        if re.search(pattern, line)
    ]
    if not found:
        raise LookupError(f"There is no line of {name} with {pattern!r} on that page.")
    more = [f"… and {len(found) - most} more"] if len(found) > most else []
    return "\n".join([*found[:most], *more])


def counters_without_total(text: str) -> list[str]:
    """The counters of a page whose name does not end in `_total`."""
    return [
        one.name
        for one in families(text)
        if one.kind == "counter" and not one.name.endswith("_total")
    ]


def ask(expression: str, at_s: float | None = None) -> tuple[Series, ...]:
    """What Prometheus answers, now or at a moment; raises `NotebookError` if it does not."""
    return _told(prometheus.query(prometheus.address()[0], expression, at_s))


def _told(answer: prometheus.Answer) -> tuple[Series, ...]:
    if isinstance(answer, Failure):
        raise NotebookError(answer.message)
    return answer


def number(expression: str, at_s: float | None = None) -> float:
    """The one value of the answer; NaN where there is no series."""
    answer = ask(expression, at_s)
    return answer[0].last if answer else math.nan


def over_time(expression: str, span: promql.Span) -> Series:
    """The one series of the answer, second by second; an empty one where there is none."""
    answer = _told(prometheus.query_range(prometheus.address()[0], expression, span))
    return answer[0] if answer else Series({}, (), ())


def span_of(*runs: Run) -> promql.Span:
    """From the second before the first request of the runs to that after their last answer."""
    first = min(epoch_s(run) + float(latency.column(run.records, "sent_s").min()) for run in runs)
    last = max(epoch_s(run) + float(np.nanmax(_ended(run))) for run in runs)
    return promql.Span(math.floor(first) - 1.0, math.ceil(last) + 1.0, 1)


def length(span: promql.Span) -> str:
    """The span's length as PromQL writes it: `27s`."""
    return f"{span.end_s - span.start_s:.0f}s"


def epoch_s(run: Run) -> float:
    """The run's zero on the wall clock."""
    return float(run.manifest["epoch_s"])


def _ended(run: Run) -> Floats:
    return latency.column(run.records, "done_s")


def moments(expressions: Mapping[str, str], span: promql.Span) -> pd.DataFrame:
    """The answers second by second, side by side; `(no series)` where there is none."""
    columns = {}
    for name, expression in expressions.items():
        answer = over_time(expression, span)
        at = dict(zip(answer.times_s, answer.values, strict=True))
        columns[name] = [_cell(at.get(second)) for second in _seconds(span)]
    return pd.DataFrame(columns, index=[f"{s - span.start_s:.0f} s" for s in _seconds(span)])


def _seconds(span: promql.Span) -> list[float]:
    return [span.start_s + i for i in range(int(span.end_s - span.start_s) + 1)]


def _cell(value: float | None) -> str:
    if value is None:
        return "(no series)"
    return "NaN" if math.isnan(value) else units.figures(value)


def answered(expression: str, windows_s: Sequence[int], span: promql.Span) -> pd.DataFrame:
    """In how many seconds of the span a query is answered, for each window put in for `WINDOW`."""
    of = len(_seconds(span))
    rows = [len(over_time(expression.replace("WINDOW", f"{w}s"), span).values) for w in windows_s]
    return pd.DataFrame(
        {"seconds with an answer": rows, "of": of}, index=[f"[{w}s]" for w in windows_s]
    )


def freeze(instance: Instance, *, after_s: float, for_s: float) -> None:
    """Have the server's process stand still for a while, later on: it is alive and says nothing.

    Returns at once.
    """

    def stop() -> None:
        os.kill(instance.pid, signal.SIGSTOP)
        time.sleep(for_s)
        os.kill(instance.pid, signal.SIGCONT)

    threading.Timer(after_s, stop).start()


def e2e_s(*runs: Run) -> Floats:
    """E2E latency of every answered request of the runs, those of their warm-up too."""
    found = np.concatenate([latency.e2e_s(run.records) for run in runs])
    return found[~np.isnan(found)]


@dataclass(frozen=True)
class Reading:
    """One quantile by one set of buckets: `drawn_s` is Prometheus' number, `bounds` is known."""

    buckets: str
    level: float
    exact_s: float
    drawn_s: float
    bounds: Bounds | None


def read_buckets(
    exact: Floats, histograms: Mapping[str, str], levels: Sequence[float], at_s: float
) -> list[Reading]:
    """Each quantile of the records beside what Prometheus makes of each histogram.

    Args:
        exact: the same requests' latencies from the records.
        histograms: a name to the PromQL of its buckets, one series a bucket.
        levels: which quantiles.
        at_s: the wall-clock time at which Prometheus is asked.
    """
    found = []
    for level in levels:
        for name, buckets in histograms.items():
            counts = {float(one.labels["le"]): one.last for one in ask(buckets, at_s)}
            drawn_s = number(f"histogram_quantile({level}, {buckets})", at_s)
            bounds = quantile_bounds(counts, level) if counts else None
            found.append(Reading(name, level, quantile(exact, level), drawn_s, bounds))
    return found


def readings_table(readings: Sequence[Reading]) -> pd.DataFrame:
    """The readings as people read them: how far off the drawn number is, and what is known."""
    rows = [
        {
            "quantile": f"p{one.level * 100:g}",
            "buckets": one.buckets,
            "records": units.show(one.exact_s, "s"),
            "histogram_quantile": units.show(one.drawn_s, "s"),
            "off by": f"{one.drawn_s / one.exact_s - 1:+.0%}",
            "the bucket": units.between(one.bounds.lower, one.bounds.upper, "s")
            if one.bounds
            else "–",
        }
        for one in readings
    ]
    return pd.DataFrame(rows).set_index(["quantile", "buckets"])


@dataclass(frozen=True)
class Drawn:
    """A panel of the dashboard's Live page: the figure, and the queries it was read by."""

    figure: go.Figure
    queries: tuple[str, ...]


def panel(key: str, instance: Instance, run: Run, level: float) -> Drawn:
    """The dashboard's panel of that key over the run, with the records' own quantile in it.

    The records' line is the quantile of the answers that ended within the panel's rate window,
    where there are enough of them.
    """
    span = span_of(run)
    source = Source(instance.name, instance.engine, "runs", True, title=instance.title)
    read = asking.read(prometheus.address()[0], span, [source], [panels.panel(key)])
    if isinstance(read, Failure):
        raise NotebookError(read.message)
    kinds = [*sources.MODEL_SERVERS, "records"]
    names = {instance.name: instance.engine, "records": "records"}
    lines = theme.lines_for_instances(names, kinds, dark=False)
    shapes = drawing.shapes(read[0], lines, level)
    shapes.append(of_records(run, level, span.rate_window_s, span, lines["records"]))
    return Drawn(_timed(shapes, read[0].panel.unit, span), read[0].queries)


def of_records(run: Run, level: float, window_s: float, span: promql.Span, line: Line) -> Curve:
    """The quantile of the answers that ended in the window before each second; NaN if too few."""
    ended_s, took_s = epoch_s(run) + _ended(run), latency.e2e_s(run.records)
    values = []
    for second in _seconds(span):
        inside = took_s[(ended_s > second - window_s) & (ended_s <= second) & ~np.isnan(took_s)]
        known = carried(inside.size, level)
        values.append(quantile(inside, level) if known else math.nan)
    return Curve(f"records p{level * 100:g}", line, _seconds(span), values)


def good(run: Run, limit_s: float) -> np.ndarray:
    """Which of the run's requests were answered within the limit: one truth a finished request."""
    return latency.e2e_s(run.records)[_finished(run)] <= limit_s


def _finished(run: Run) -> np.ndarray:
    """Which requests ended by themselves: cut off at the end of the load, one is no error."""
    status = run.records.column("status").to_pylist()
    return np.array([one != "cancelled" for one in status], dtype=bool)


def burn_of_records(
    run: Run, limit_s: float, budget: float, window_s: float, span: promql.Span
) -> Curve:
    """Share of requests that missed the limit, of those that ended in each window, over the budget.

    NaN where none ended.
    """
    ended_s, met = epoch_s(run) + _ended(run)[_finished(run)], good(run, limit_s)
    values = []
    for second in _seconds(span):
        inside = met[(ended_s > second - window_s) & (ended_s <= second)]
        values.append(float(1 - inside.mean()) / budget if inside.size else math.nan)
    lines = theme.lines_for_runs(("a", "b", "c", "records"), dark=False)
    return Curve(f"records, {window_s:g} s", lines["records"], _seconds(span), values)


def curves(named: Mapping[str, Series]) -> list[Curve]:
    """Series as lines of a figure."""
    lines = theme.lines_for_runs(list(named), dark=False)
    return [Curve(name, lines[name], one.times_s, one.values) for name, one in named.items()]


def timeline(shapes: Sequence[Curve | Band], title: str, span: promql.Span) -> go.Figure:
    """Curves over the seconds of the span, as the dashboard draws them."""
    return _timed(shapes, "count", span).update_yaxes(title=title)


def _timed(shapes: Sequence[Curve | Band], unit: units.Unit, span: promql.Span) -> go.Figure:
    figure = figures.panel(shapes, unit, span.start_s, span.end_s, span.step_s)
    return figure.update_layout(height=_HEIGHT)


def held_s(series: Series) -> float:
    """For how many seconds a condition held: Prometheus gives a series only where it does."""
    return float(len(series.values))
