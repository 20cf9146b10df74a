"""A dynamic batcher from both sides: how many requests it joined, and what they paid for it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from dashboard import units
from dashboard.figures import common, ticks
from dashboard.theme import lines_for_runs
from measure.server_series import counter_increase
from measure.store import Run
from servers.catalog import ENGINES
from servers.contract import Metric

_HEIGHT = 360
_COMPUTE = ("classify_compute_input", "classify_compute_infer", "classify_compute_output")


@dataclass(frozen=True)
class Parts:
    """Where the mean request of a run spent its time, in seconds, and in what company.

    `queue_s` (waiting for its batch) and `compute_s` (the batch being computed) are Triton's own
    sums over its count of requests; `rest_s` is what is left of the client's mean E2E: the network,
    HTTP and JSON (none, where Triton's numbers, read once a second, make up for more). `batch` is
    how many texts Triton computed together, on average over batches.
    """

    batch: float
    queue_s: float
    compute_s: float
    rest_s: float

    @property
    def whole_s(self) -> float:
        """The mean E2E latency that these are the parts of."""
        return self.queue_s + self.compute_s + self.rest_s


def parts(run: Run) -> Parts:
    """The parts of a run on Triton's classifier; NaN where its own numbers were not kept."""
    requests = _gained(run, "classify_requests_ok")
    batches = _gained(run, "classify_executions")
    queue_s = _ratio(_gained(run, "classify_queue_time"), requests)
    compute_s = _ratio(sum(_gained(run, concept) for concept in _COMPUTE), requests)
    mean_s = run.summary["e2e_s"]["mean"]
    whole_s = math.nan if mean_s is None else float(mean_s)
    return Parts(
        batch=_ratio(_gained(run, "classify_inferences"), batches),
        queue_s=queue_s,
        compute_s=compute_s,
        rest_s=max(whole_s - queue_s - compute_s, 0.0),
    )


def table(runs: Mapping[str, Run]) -> pd.DataFrame:
    """One row a run, by its name: answers a second, the average batch, what the client waited."""
    rows = []
    for run in runs.values():
        found, e2e = parts(run), run.summary["e2e_s"]
        rows.append(
            {
                "answers a second": units.figures(run.summary["answered_rps"]),
                "average batch": "–" if math.isnan(found.batch) else units.figures(found.batch),
                "mean wait in the queue": units.show(found.queue_s, "s"),
                "mean computing": units.show(found.compute_s, "s"),
                "E2E p50": units.show(e2e["p50"], "s"),
                "E2E p90": units.show(e2e["p90"], "s"),
            }
        )
    return pd.DataFrame(rows, index=list(runs))


def bars(runs: Mapping[str, Run]) -> go.Figure:
    """The mean request of each run, by its name, as one bar, cut into its parts."""
    found = [parts(run) for run in runs.values()]
    pieces = {
        "waiting in the queue": [one.queue_s for one in found],
        "computing": [one.compute_s for one in found],
        "network, HTTP, JSON": [one.rest_s for one in found],
    }
    lines = lines_for_runs(list(pieces), dark=False)
    figure = go.Figure()
    for name, values_s in pieces.items():
        figure.add_bar(
            y=list(runs),
            x=values_s,
            name=name,
            orientation="h",
            marker={"color": lines[name].colour},
            text=[units.show(value, "s") for value in values_s],
            textposition="none",
            hovertemplate="%{text} %{fullData.name}<extra></extra>",
        )
    figure.update_layout(common(_HEIGHT), barmode="stack", legend_traceorder="normal")
    figure.update_xaxes(title="mean E2E latency", rangemode="tozero", **ticks("s"))
    return figure.update_yaxes(autorange="reversed", automargin=True, title=None)


def speed_up(first: Run, second: Run) -> float:
    """How many times the answers a second of the first run the second one gave."""
    return _ratio(float(second.summary["answered_rps"]), float(first.summary["answered_rps"]))


def medians_apart_s(first: Run, second: Run) -> float:
    """By how many seconds the first run's median E2E is above the second's."""
    one, other = first.summary["e2e_s"]["p50"], second.summary["e2e_s"]["p50"]
    return math.nan if None in (one, other) else float(one - other)


def busy(run: Run) -> float:
    """How many model instances were computing, on average over the run's time.

    Batches a second times the seconds that one takes (Little's law).
    """
    found = parts(run)
    return _ratio(float(run.summary["answered_rps"]), found.batch) * found.compute_s


def _gained(run: Run, concept: str) -> float:
    """What Triton's counter of this concept gained while the run counted; NaN without series."""
    series = run.server_metrics
    metric = _metric(concept)
    if series is None:
        return math.nan
    match = {label: str(value) for label, value in metric.selector.items()}
    window = run.window
    gain = counter_increase(series, metric.name, window.start_s, window.end_s, match)
    return math.nan if gain is None else gain * metric.scale


def _metric(concept: str) -> Metric:
    return next(one for one in ENGINES["triton"].metrics if one.concept == concept)


def _ratio(total: float, count: float) -> float:
    return total / count if count else math.nan
