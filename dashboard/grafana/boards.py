"""The dashboards: one for each engine, the load tests, the machine, and an overview. Pure."""

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.builders import heatmap, prometheus, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from dashboard import panels
from dashboard.grafana.targets import Target, targets
from dashboard.panels import Group, Panel
from dashboard.sources import MODEL_SERVERS
from dashboard.units import Unit
from servers.catalog import ENGINES

UNITS: dict[Unit, str] = {
    "s": "s",
    "rps": "reqps",
    "tok/s": "suffix: tok/s",
    "ratio": "percentunit",
    "bytes": "bytes",
    "count": "short",
    "cores": "suffix: cores",
    "tokens": "suffix: tokens",
    "W": "watt",
    "°C": "celsius",
    "Hz": "hertz",
}
"""Grafana's own words for the catalogue's units."""

_SMALL = {1e-3: "ms", 1e-6: "µs"}

TOPICS = {
    "latency": "Latency",
    "phases": "Phases of a request",
    "requests": "Requests",
    "batching": "Batching and queue",
    "cache": "KV cache",
    "tokens": "Tokens",
    "machine": "Machine",
}
OVERVIEW = ("ttft", "e2e", "output_tokens", "requests", "running", "waiting", "kv_cache_usage")
_SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")
_INTERPOLATED = (
    "In Grafana this quantile is interpolated inside its bucket (histogram_quantile): the true one "
    "lies anywhere in that bucket. The lab's own dashboard draws the bucket's bounds."
)
_WIDTH, _HEIGHT = 8, 8
Row = tuple[str, Sequence[tuple[Panel, Sequence[Target]]]]


def dashboards() -> dict[str, str]:
    """File name to JSON, the same each time it is called."""
    found = {"lab-overview": _overview()}
    for engine in MODEL_SERVERS:
        found[f"lab-{engine}"] = _engine(engine)
    found["lab-load"] = _of_group("Load tests", "client", "lab-load", "client_requests_total")
    found["lab-machine"] = _machine()
    return {
        f"{uid}.json": json.dumps(
            json.loads(JSONEncoder(sort_keys=True).encode(board.build())), indent=1
        )
        + "\n"
        for uid, board in found.items()
    }


def _engine(engine: str) -> build.Dashboard:
    board = _board(ENGINES[engine].title, f"lab-{engine}")
    board.with_variable(_values("instance", f'label_values(up{{engine="{engine}"}}, instance)'))
    _say_what_runs(board, f'engine="{engine}"')
    return _filled(board, _by_topic(panels.group("engine"), engine, {"engine": engine}))


def _say_what_runs(board: build.Dashboard, of: str) -> None:
    """The instances by what they really are: no other metric tells an engine from a stand-in."""
    up = f'max by (instance, title) (up{{{of},instance=~"$instance"}})'
    board.with_row(build.Row("Instances"))
    board.with_panel(
        _lines(
            "Answers Prometheus",
            "1 while Prometheus reaches the instance, 0 while it does not. Behind its name stands "
            "what it really is, also where that is a stand-in for the engine.",
            "count",
            [Target(up, "{{instance}}: {{title}}")],
        )
    )


def _of_group(title: str, group: Group, uid: str, present: str) -> build.Dashboard:
    board = _board(title, uid)
    board.with_variable(_values("instance", f"label_values({present}, instance)"))
    return _filled(board, _by_topic(panels.group(group), "", {}))


def _machine() -> build.Dashboard:
    board = _board("Processes and GPUs", "lab-machine")
    board.with_variable(_values("instance", "label_values(lab_instance_memory_bytes, instance)"))
    board.with_variable(_values("gpu", f"label_values({panels.PRESENT}, UUID)"))
    rows = (("Processes", panels.group("process")), ("GPUs", panels.group("gpu")))
    return _filled(board, [(title, _asked(several, "", {})) for title, several in rows])


def _overview() -> build.Dashboard:
    board = _board("Overview", "lab-overview")
    board.with_variable(_values("instance", 'label_values(up{job=~"engine|client"}, instance)'))
    engines = []
    for key in OVERVIEW:
        panel = panels.panel(key)
        asked = [
            target
            for engine in MODEL_SERVERS
            for target in targets(panel, engine, {"engine": engine})
        ]
        engines.append((panel, asked))
    load = [panels.panel(f"client_{key}") for key in ("ttft", "requests", "tokens")]
    _say_what_runs(board, 'job="engine"')
    board.with_row(build.Row("Objectives"))
    board.with_panel(
        _lines(
            "Share that missed the objective",
            "Over five minutes, by the recording rules of the lab: too slow, or failed. Beside it "
            "stands who saw it and the bound of the bucket that was counted to.",
            "ratio",
            [
                Target(
                    'instance:slo_errors:ratio_rate5m{instance=~"$instance"}',
                    "{{instance}} {{slo}} ≤ {{bound_s}} s, {{seen_by}}",
                )
            ],
        )
    )
    board.with_panel(
        _lines(
            "Alerts",
            "Alerts that fire now.",
            "count",
            [
                Target(
                    'count by (alertname, instance) (ALERTS{alertstate="firing"})',
                    "{{alertname}} {{instance}}",
                )
            ],
        )
    )
    return _filled(board, [("Engines", engines), ("Load", _asked(load, "", {}))])


def _by_topic(several: Iterable[Panel], engine: str, matchers: dict[str, str]) -> list[Row]:
    order = list(TOPICS)
    by_topic = sorted(several, key=lambda panel: order.index(panel.topic))
    return [
        (TOPICS[topic], asked)
        for topic, members in groupby(by_topic, key=lambda panel: panel.topic)
        if (asked := _asked(members, engine, matchers))
    ]


def _asked(
    several: Iterable[Panel], engine: str, matchers: dict[str, str]
) -> list[tuple[Panel, Sequence[Target]]]:
    """Those that anything can be asked for."""
    pairs = [(panel, targets(panel, engine, matchers)) for panel in several]
    return [(panel, asked) for panel, asked in pairs if asked]


def _filled(board: build.Dashboard, rows: Iterable[Row]) -> build.Dashboard:
    for title, members in rows:
        board.with_row(build.Row(title))
        for panel, asked in members:
            board.with_panel(_panel(panel, asked))
    return board


def _board(title: str, uid: str) -> build.Dashboard:
    return (
        build.Dashboard(f"Serving Lab: {title}")
        .uid(uid)
        .tags(["serving-lab"])
        .time("now-15m", "now")
        .refresh("5s")
        .timezone("browser")
        .readonly()
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .link(
            build.DashboardLink("Serving Lab")
            .type(model.DashboardLinkType.DASHBOARDS)
            .tags(["serving-lab"])
            .as_dropdown(True)
            .include_vars(False)
            .keep_time(True)
        )
        .with_variable(
            build.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
        )
        .with_variable(
            build.CustomVariable("quantile")
            .label("Quantile")
            .values("0.99,0.5,0.9")
            .current(model.VariableOption(text="0.99", value="0.99"))
        )
    )


def _values(name: str, query: str) -> build.QueryVariable:
    return (
        build.QueryVariable(name)
        .label("GPU" if name == "gpu" else "Instance")
        .datasource(_SOURCE)
        .query(query)
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(model.VariableOption(text="All", value="$__all"))
    )


def _panel(panel: Panel, asked: Sequence[Target]) -> Any:
    kinds = {target.kind for target in asked}
    if kinds == {"heatmap"}:
        drawn: heatmap.Panel = _common(heatmap.Panel(), panel.title, panel.help, asked)
        unit = _SMALL.get(asked[0].scale, UNITS[panel.unit])
        return drawn.y_axis(heatmap.YAxisConfig().unit(unit))
    if kinds == {"table"}:
        return _common(table.Panel(), panel.title, panel.help, asked)
    return _lines(panel.title, panel.help, panel.unit, asked)


def _lines(title: str, help: str, unit: Unit, asked: Sequence[Target]) -> timeseries.Panel:
    panel: timeseries.Panel = _common(timeseries.Panel(), title, help, asked)
    return panel.unit(UNITS[unit]).min(0).line_width(1).fill_opacity(0)


def _common(panel: Any, title: str, help: str, asked: Sequence[Target]) -> Any:
    words = f"{help}\n\n{_INTERPOLATED}" if any(one.quantile for one in asked) else help
    panel.title(title).description(words).datasource(_SOURCE).span(_WIDTH).height(_HEIGHT)
    for number, one in enumerate(asked):
        panel.with_target(_query(one, number))
    return panel


def _query(target: Target, number: int) -> prometheus.Dataquery:
    query = (
        prometheus.Dataquery()
        .expr(target.expression)
        .legend_format(target.legend)
        .ref_id(f"Q{number}")
        .datasource(_SOURCE)
    )
    if target.kind == "heatmap":
        return query.format(PromQueryFormat.HEATMAP)
    if target.kind == "table":
        return query.format(PromQueryFormat.TABLE).instant()
    return query.format(PromQueryFormat.TIME_SERIES)
