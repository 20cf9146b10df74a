"""Live: what runs now, from Prometheus."""

import time
from datetime import datetime

import streamlit as st
from streamlit.elements.lib.mutable_expander_container import ExpanderContainer

from dashboard import alerts, anew, no_prometheus, panels, promql, sources, text
from dashboard.live import asking, loads, tiles
from dashboard.live.chosen import choose, offer
from dashboard.live.page import Look, notes, pairs, section
from dashboard.live.sections import PAIRS, SECTIONS, Section
from dashboard.prometheus import Failure, address
from dashboard.sources import Source
from dashboard.words import t

SPANS_S = {"1 min": 60, "5 min": 300, "15 min": 900, "1 h": 3600, "6 h": 21600}
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
REFRESH_S = 3.0
_SKELETON_PX = 300


def page() -> None:
    """The controls, then a fragment that looks again by itself unless paused."""
    spans, quantiles, moving = st.columns([4, 3, 2], vertical_alignment="center")
    span_name = spans.segmented_control(
        t("Time range"),
        list(SPANS_S),
        default="5 min",
        required=True,
        key="range",
        bind="query-params",
        label_visibility="collapsed",
    )
    quantile_name = quantiles.segmented_control(
        t("Quantile"),
        list(QUANTILES),
        default="p99",
        required=True,
        key="quantile",
        bind="query-params",
        label_visibility="collapsed",
        help=t("The quantile that latency panels show."),
    )
    moves = moving.toggle(
        t("Follow"),
        value=True,
        key="follow",
        bind="query-params",
        help=t(
            "Looks again every few seconds, and a zoom lasts until then: switch it off to look "
            "closely, or to copy an address that shows this moment. Looking costs CPU: on a small "
            "machine switch it off while you measure."
        ),
    )
    if moves:
        _forget_moment()
    # Nothing new is drawn within a step.
    step_s = promql.Span.ending(0.0, SPANS_S[str(span_name)]).step_s
    look = anew.drawn(show, max(REFRESH_S, step_s) if moves else None)
    look(str(span_name), str(quantile_name), bool(moves))


def _moment_s() -> float | None:
    """The moment at which the page was stopped, which its address names; none if it is no time."""
    try:
        asked_s = float(st.session_state.get("until") or st.query_params.get("until") or "nan")
    except ValueError:
        return None
    return asked_s if 0 < asked_s <= time.time() else None


def _keep_moment(at_s: float) -> None:
    st.session_state["until"] = st.query_params["until"] = f"{at_s:.0f}"


def _forget_moment() -> None:
    st.session_state.pop("until", None)
    st.query_params.pop("until", None)


def show(span_name: str, quantile_name: str, moves: bool) -> None:
    """Everything that changes with time: up to now, or up to the moment the page was stopped."""
    url, said_by = address()
    stopped_s = None if moves else _moment_s()
    span = promql.Span.ending(stopped_s or time.time(), SPANS_S[span_name])
    with st.skeleton(height=_SKELETON_PX):
        found = sources.discover(url, span, stopped_s)
    if isinstance(found, Failure):
        no_prometheus.show(found, said_by)
        return
    if not moves:
        stopped_s = stopped_s or span.end_s
        _keep_moment(stopped_s)
        at = datetime.fromtimestamp(stopped_s).isoformat(" ", "seconds")
        st.caption(t("Stopped at {time}. Only the alerts are of now.", time=at))
    st.html(alerts.box(url, time.time()))
    if all(source.kind == sources.GPU for source in found):
        _nothing_runs(span_name)
        return
    shown = choose(found, offer(found))
    lines = loads.lines(shown, st.context.theme.type == "dark")
    marked = loads.stretches(url, span, [one for one in shown if one.is_load], lines)
    above = st.container()
    beside = st.container()
    boxes = [(one, _box(one)) for one in SECTIONS if _speaks_of(one, shown)]
    wanted = _wanted([one for one, box in boxes if box.open])
    readings = asking.read(url, span, shown, wanted)
    for failure in (marked, readings):
        if isinstance(failure, Failure):
            with above:
                no_prometheus.show(failure, said_by)
            return
    assert not isinstance(marked, Failure) and not isinstance(readings, Failure)
    look = Look(readings, lines, span, quantile_name, QUANTILES[quantile_name], tuple(marked))
    with above:
        now = [source for source in shown if source.state != "ended"]
        if now:
            st.html(tiles.render(now, readings, lines, span))
        _hints(shown)
    with beside:
        pairs(look, PAIRS)
        notes(look, [panel for pair in PAIRS for panel in pair.both])
    for one, box in boxes:
        if box.open:
            with box:
                section(look, one)


def _wanted(opened: list[Section]) -> list[panels.Panel]:
    """The panels to ask for: those of tiles and pairs, and those of open sections."""
    keys = {
        *tiles.PANELS,
        *(panel.key for pair in PAIRS for panel in pair.both),
        *(panel.key for one in opened for panel in one.panels),
    }
    return [panel for panel in panels.PANELS if panel.key in keys]


def _speaks_of(one: Section, shown: list[Source]) -> bool:
    if one.group == "gpu":
        return any(source.kind == sources.GPU for source in shown)
    return any(source.is_load == (one.group == "client") for source in shown)


def _box(one: Section) -> ExpanderContainer:
    return st.expander(
        t(one.title),
        expanded=one.first_open,
        key=one.key,
        on_change="rerun",
        bind="query-params",
    )


def _hints(shown: list[Source]) -> None:
    """What the reader could do next where something is missing, and what has ended."""
    engines = [source for source in shown if source.is_engine]
    unscraped = [
        source.name
        for source in engines
        if source.state in ("runs", "starts") and not source.scraped
    ]
    if unscraped:
        st.info(
            t(
                "{names}: Prometheus has nothing from it yet. An engine is scraped once it is "
                "ready to answer.",
                names=text.markdown(", ".join(unscraped)),
            ),
            icon=":material/hourglass_empty:",
        )
    ended = [source.name for source in shown if source.state == "ended"]
    if ended:
        st.caption(t("Ended in this time range: {names}.", names=text.markdown(", ".join(ended))))
    if engines and not any(source.is_load for source in shown):
        name = next((one.kind for one in engines if one.scraped), engines[0].kind)
        st.caption(
            t(
                "No load in this time range. In a terminal: {command}",
                command=f"`lab run {text.plain(name).replace('`', chr(39))} --users 4`",
            )
        )


def _nothing_runs(span_name: str) -> None:
    st.subheader(t("No engine runs"), anchor=False)
    st.markdown(
        t(
            "Prometheus answers, and has seen neither an engine nor a load test in the last "
            "{span}. Start one, then load it:",
            span=span_name,
        )
    )
    first = sources.MODEL_SERVERS[0] if sources.MODEL_SERVERS else "ENGINE"
    st.code(f"lab up {first}\nlab run {first} --users 4", language="bash")
    if len(sources.MODEL_SERVERS) > 1:
        names = ", ".join(text.markdown(name) for name in sources.MODEL_SERVERS)
        st.caption(t("Engines: {names}", names=names))


page()
