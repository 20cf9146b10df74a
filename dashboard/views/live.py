"""Live: what runs now, from Prometheus."""

import time

import streamlit as st

from dashboard import alerts, figures, no_prometheus, panels, promql, sources, text, theme
from dashboard.chart import chart
from dashboard.live import asking, tiles
from dashboard.live.asking import PanelReadings
from dashboard.prometheus import Failure, address
from dashboard.sources import Source
from dashboard.theme import Line
from dashboard.words import t

SPANS_S = {"1 min": 60, "5 min": 300, "15 min": 900, "1 h": 3600, "6 h": 21600}
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
REFRESH_S = 3.0
COLUMNS = 3
NEWEST_LOADS = 2
SECTIONS: dict[panels.Group, str] = {
    "engine": "Engines",
    "client": "Load, as the client sees it",
    "process": "Processes",
    "gpu": "GPUs",
}


def page() -> None:
    """The controls, then a fragment that looks again by itself unless paused."""
    spans, quantiles, moving = st.columns([4, 3, 2], vertical_alignment="center")
    span_name = spans.segmented_control(
        "Time range",
        list(SPANS_S),
        default="5 min",
        required=True,
        key="range",
        bind="query-params",
        label_visibility="collapsed",
    )
    quantile_name = quantiles.segmented_control(
        "Quantile",
        list(QUANTILES),
        default="p99",
        required=True,
        key="quantile",
        bind="query-params",
        label_visibility="collapsed",
        help="The quantile that latency panels show.",
    )
    moves = moving.toggle(
        "Follow",
        value=True,
        key="follow",
        bind="query-params",
        help="Looks again every few seconds. Looking costs CPU: on a small machine switch it off "
        "while you measure.",
    )
    # Nothing new is drawn within a step.
    step_s = promql.Span.ending(0.0, SPANS_S[str(span_name)]).step_s
    look = st.fragment(show, run_every=max(REFRESH_S, step_s) if moves else None)
    look(str(span_name), str(quantile_name))


def show(span_name: str, quantile_name: str) -> None:
    """Everything that changes with time."""
    url, said_by = address()
    span = promql.Span.ending(time.time(), SPANS_S[span_name])
    found = sources.discover(url, span)
    if isinstance(found, Failure):
        no_prometheus.show(found, said_by)
        return
    st.html(alerts.box(url, time.time()))
    shown = _choose(found)
    if all(source.kind == sources.GPU for source in shown):
        _nothing_runs(span_name)
        return
    readings = asking.read(url, span, shown)
    if isinstance(readings, Failure):
        no_prometheus.show(readings, said_by)
        return
    dark = st.context.theme.type == "dark"
    kinds = [*sources.MODEL_SERVERS, sources.LOAD_TEST, sources.GPU]
    lines = theme.lines_for_instances({one.name: one.kind for one in shown}, kinds, dark)
    now = [source for source in shown if not (source.is_load and source.state == "ended")]
    st.html(tiles.render(now or shown, readings, lines, span))
    _hints(shown)
    for group, title in SECTIONS.items():
        _section(group, title, readings, lines, span, quantile_name)
    _older_loads(found)


def _choose(found: list[Source]) -> list[Source]:
    """All engines, the newest load tests, and the older ones that the reader asked for."""
    more = st.session_state.get("more", [])
    newest = [source.name for source in found if source.is_load][:NEWEST_LOADS]
    return [one for one in found if not one.is_load or one.name in newest or one.name in more]


def _older_loads(found: list[Source]) -> None:
    older = [source.name for source in found if source.is_load][NEWEST_LOADS:]
    if older:
        # A load test that left the time range is no choice any more.
        kept = [name for name in st.session_state.get("more", []) if name in older]
        st.session_state["more"] = kept
        st.multiselect(
            "Older load tests in this time range", older, key="more", placeholder="Show more"
        )


def _section(
    group: panels.Group,
    title: str,
    readings: list[PanelReadings],
    lines: dict[str, Line],
    span: promql.Span,
    quantile_name: str,
) -> None:
    members = [one for one in readings if one.panel.group == group]
    drawable = [one for one in members if one.by_source]
    notes = list(dict.fromkeys(note for one in members for note in one.notes))
    if not drawable and not notes:
        return
    st.subheader(title, anchor=False)
    for start in range(0, len(drawable), COLUMNS):
        row = drawable[start : start + COLUMNS]
        for column, one in zip(st.columns(COLUMNS), row, strict=False):
            with column:
                _panel(one, lines, span, quantile_name)
    if notes:
        with st.expander(f"What is not shown, or shown otherwise, and why ({len(notes)})"):
            st.markdown("\n".join(f"- {text.markdown(note)}" for note in notes))


def _panel(
    readings: PanelReadings, lines: dict[str, Line], span: promql.Span, quantile_name: str
) -> None:
    panel = readings.panel
    words = t(panel.title) + (f" {quantile_name}" if panel.reading == "quantile" else "")
    shapes = asking.shapes(readings, lines, QUANTILES[quantile_name])
    figure = figures.panel(
        shapes, panel.unit, span.start_s, span.end_s, span.step_s, f"{panel.key}{span.step_s}"
    )
    chart(
        figure,
        f"panel-{panel.key}",
        words,
        help=t(panel.help),
        data=lambda: figures.numbers(shapes, panel.unit),
        queries=readings.queries,
        aside=t("idle") if asking.idle(readings) else "",
    )


def _hints(shown: list[Source]) -> None:
    """What the reader could do next where something is missing."""
    engines = [source for source in shown if source.is_engine]
    unscraped = [
        source.name
        for source in engines
        if source.state in ("runs", "starts") and not source.scraped
    ]
    if unscraped:
        st.info(
            f"{text.markdown(', '.join(unscraped))}: Prometheus has nothing from it yet. An engine "
            "is scraped once it is ready to answer.",
            icon=":material/hourglass_empty:",
        )
    if engines and not any(source.is_load for source in shown):
        name = next((one.kind for one in engines if one.scraped), engines[0].kind)
        st.caption(f"No load in this time range. In a terminal: `lab run {_code(name)} --users 4`")


def _nothing_runs(span_name: str) -> None:
    st.subheader("No engine runs", anchor=False)
    st.markdown(
        f"Prometheus answers, and has seen neither an engine nor a load test in the last "
        f"{span_name}. Start one, then load it:"
    )
    first = sources.MODEL_SERVERS[0] if sources.MODEL_SERVERS else "ENGINE"
    st.code(f"lab up {first}\nlab run {first} --users 4", language="bash")
    if len(sources.MODEL_SERVERS) > 1:
        st.caption("Engines: " + ", ".join(text.markdown(name) for name in sources.MODEL_SERVERS))


def _code(value: str) -> str:
    return text.plain(value).replace("`", "'")


page()
