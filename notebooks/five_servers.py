"""Five servers of one classifier under one load: what each run says, and whether it was fair."""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from dashboard import units
from dashboard.engine_side import mean_batches
from dashboard.figures import common, ticks
from dashboard.theme import lines_for_runs
from measure import server_series
from measure.compare import compare
from measure.store import Run
from notebooks import kit
from servers.catalog import ENGINES
from servers.contract import Value

SERVERS: dict[str, dict[str, Value]] = {
    "triton": {"models": "text_classifier", "instances": 1},
    "bentoml": {},
    "ray-serve": {},
    "torchserve": {},
    "fastapi-batcher": {},
}
"""The five, and what is set on them: Triton would serve two models, and this one twice."""

LATENCY = "ttft_from_schedule_s"
"""An answer in one piece: from the moment it was wanted to its end."""

# What makes a comparison unfair if it is not the same in all runs.
_SAME = {
    "load.arrival": "arrivals, rate",
    "load.seed": "seed of arrivals and texts",
    "load.prompt": "lengths of texts",
    "load.duration_s": "duration",
    "load.transport": "transport",
}
_HEIGHT = 380
_QUANTILES = ("p50", "p90")


def run_each(servers: dict[str, dict[str, Value]], *, rate: float, seconds: float) -> list[Run]:
    """Start each server, load it, and stop it before the next one starts."""
    runs = []
    for engine, settings in servers.items():
        instance = kit.up(engine, **settings)
        runs.append(kit.load(instance, rate=rate, seconds=seconds, warmup=1, text_tokens=32))
        kit.down(instance)
    return runs


def table(runs: Sequence[Run]) -> pd.DataFrame:
    """One row a server: what was answered, how fast, in which batches, at what price."""
    rows = []
    for run in runs:
        engine, latency = run.manifest["engine"], run.summary[LATENCY]
        rows.append(
            {
                "version": engine["version"] or "–",
                "answered": run.summary["requests"]["ok"],
                "failed": run.summary["requests"]["failed"],
                **{f"E2E {q}": units.show(latency[q], "s") for q in _QUANTILES},
                "average batch": units.figures_or_dash(average_batch(run)),
                "memory": units.show(memory_bytes(run), "bytes"),
                "ready after": units.show(engine.get("ready_s"), "s"),
            }
        )
    return pd.DataFrame(rows, index=kit.labels(runs))


def average_batch(run: Run) -> float | None:
    """How many requests the server computed together in the window, by its own count."""
    metrics = ENGINES[str(run.manifest["engine"]["name"])].metrics
    if run.server_metrics is None:
        return None
    found = mean_batches(run.server_metrics, metrics, run.window)
    return found[0][1] if found else None


def memory_bytes(run: Run) -> float | None:
    """The most memory that all of the server's processes held together."""
    if run.server_metrics is None:
        return None
    held = server_series.series(run.server_metrics, "lab_instance_memory_bytes", {"kind": "pss"})
    return max((float(values.max()) for _, values in held.values()), default=None)


def fair(runs: Sequence[Run]) -> pd.DataFrame:
    """Whether the runs were asked the same in the same way, by an honest client: a row a point."""
    differing = [setting.name for setting in compare(runs).settings]
    rows = {
        what: "the same" if not any(name.startswith(path) for name in differing) else "differs"
        for path, what in _SAME.items()
    }
    beside = {name for run in runs for name in run.manifest["engine"].get("neighbours") or ()}
    rows["engines beside it"] = ", ".join(sorted(beside)) or "none"
    clocks = {str(run.summary["client"]["clock"]) for run in runs}
    rows["stamps of arrivals"] = " and ".join(sorted(clocks))
    for name, run in zip(kit.labels(runs), runs, strict=True):
        rows[f"client, {name}"] = str(run.summary["client"]["verdict"])
    return pd.DataFrame({"": rows})


def quantiles(runs: Sequence[Run]) -> go.Figure:
    """The median and the p90 of each server, as dots with their 95% intervals."""
    lines = lines_for_runs(list(_QUANTILES), dark=False)
    figure = go.Figure()
    for key, mark in zip(_QUANTILES, ("circle", "diamond"), strict=True):
        facts = [run.summary[LATENCY] for run in runs]
        # A missing interval is drawn as none.
        ends = [one["ci95"][key] or (one[key], one[key]) for one in facts]
        figure.add_scatter(
            y=kit.labels(runs),
            x=[one[key] for one in facts],
            name=key,
            mode="markers",
            marker={"color": lines[key].colour, "symbol": mark, "size": 10},
            error_x={
                "array": [high - one[key] for one, (_, high) in zip(facts, ends, strict=True)],
                "arrayminus": [one[key] - low for one, (low, _) in zip(facts, ends, strict=True)],
            },
            text=[units.show(one[key], "s") for one in facts],
            hovertemplate="%{text} %{fullData.name}<extra></extra>",
        )
    figure.update_layout(common(_HEIGHT))
    figure.update_xaxes(title="E2E from schedule", rangemode="tozero", **ticks("s"))
    return figure.update_yaxes(autorange="reversed", automargin=True, title=None)


def medians(runs: Sequence[Run]) -> dict[str, float]:
    """The median latency of each server, in seconds; those that answered nothing are left out."""
    found = zip(kit.labels(runs), (run.summary[LATENCY]["p50"] for run in runs), strict=True)
    return {name: float(median) for name, median in found if median is not None}
