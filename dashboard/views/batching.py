"""Batching: what engines compute together, what it costs, and which flag sets it."""

from collections.abc import Collection

import streamlit as st

from dashboard import (
    chosen_runs,
    quantities,
    run_pages,
    runs,
    text,
)
from dashboard.batching import (
    knob_map,
    sweeps,
    timeline_charts,
    timelines,
    tradeoff,
    tradeoff_figure,
)
from dashboard.batching import tradeoff_tables as tables
from dashboard.batching.sweeps import Sweep
from dashboard.batching.timelines import Timeline
from dashboard.batching.tradeoff import Axes, Tradeoff
from dashboard.chart import chart
from dashboard.runs import Fingerprint
from dashboard.words import language, t
from measure.errors import MeasureError
from measure.store import RunInfo, open_run
from measure.table import OPEN_LOOP_ONLY
from servers.catalog import ENGINES

_SKELETON_PX = 330
LEVELS = ("p50", "p90", "p99")
_TO_MAKE = """for users in 1 4 16; do
  lab run {first} --set {knob}=1  --users $users --duration 20s
  lab run {first} --set {knob}=16 --users $users --duration 20s
done"""


def page() -> None:
    """The sweep, one or more runs over their time, the map of knobs."""
    infos = runs.listed(runs.root())
    readable = [info for info in infos if info.problem is None]
    st.subheader(t("Throughput against latency"), anchor=False)
    _sweeps(readable)
    st.subheader(t("Batch and queue over a run"), anchor=False)
    if readable:
        running = {info.run_id for info in readable if info.running}
        _over_time(chosen_runs.choose(infos, first=1), running)
    else:
        st.caption(t("No run yet: this page looks in {folder}.", folder=text.markdown(runs.root())))
    st.subheader(t("Which flag means the same"), anchor=False)
    _knobs()


def _sweeps(infos: list[RunInfo]) -> None:
    found = sweeps.find(infos, ENGINES)
    if not found:
        st.markdown(
            t(
                "No sweep yet: runs of one engine, model and scenario that differ in one or two "
                "knobs, or in how much load there was. This makes one:"
            )
        )
        first = next((one for one in ENGINES.values() if one.knob("max_num_seqs")), None)
        name = first.name if first else "ENGINE"
        st.code(_TO_MAKE.format(first=name, knob="max_num_seqs"), language="bash")
        return
    sweep = _choose(found)
    axes = _axes(sweep)
    placed = tradeoff.place(sweep, axes)
    if not placed.placed:
        st.info(t("None of these runs carries {what}: ask for another.", what=axes.latency_title))
        _left_aside(placed)
        return
    _figure(placed)
    _front(placed)


def _choose(found: list[Sweep]) -> Sweep:
    """The sweep the reader chose; the address names it by its key."""
    by_key = {sweep.key: sweep for sweep in found}
    asked = st.query_params.get("sweep")
    if st.session_state.get("sweep") not in by_key:
        st.session_state["sweep"] = asked if asked in by_key else found[0].key
        if asked and asked not in by_key:
            st.warning(
                t(
                    "The address asks for the sweep {sweep}, and no runs here make it.",
                    sweep=text.markdown(asked),
                )
            )
    titles = {key: tradeoff.title(sweep) for key, sweep in by_key.items()}
    key = st.selectbox(
        t("Sweep"),
        list(by_key),
        key="sweep",
        format_func=lambda one: titles[one],
        label_visibility="collapsed",
        persist_state="session",
    )
    st.query_params["sweep"] = str(key)
    return by_key[str(key)]


def _axes(sweep: Sweep) -> Axes:
    """What to draw against what."""
    summaries = [one.info.summary for one in sweep.members if one.info.summary]
    known = {
        one.title: one
        for one in quantities.of_runs(*summaries)
        if any((summary.get(one.key) or {}).get("count") for summary in summaries)
        and not (sweep.arrival == "closed" and one.key in OPEN_LOOP_ONLY)
    }
    titles = list(known) or [quantities.QUANTITIES[-1].title]
    known = known or {titles[0]: quantities.QUANTITIES[-1]}
    left, middle, right = st.columns([4, 2, 2], vertical_alignment="center")
    with left:
        keys = [one.key for one in known.values()]
        first = quantities.headline(keys, open_loop=sweep.arrival != "closed")
        title = _segments(t("Latency"), titles, "latency", titles[keys.index(first)])
    with middle:
        level = _segments(t("Quantile"), list(LEVELS), "quantile", "p50")
    with right:
        has_tokens = any(summary["output_tokens_per_s"] for summary in summaries)
        choices = ["tokens/s", "requests/s"] if has_tokens else ["requests/s"]
        speed = _segments(t("Throughput"), choices, "throughput", choices[0])
    return Axes("tokens/s" if speed == "tokens/s" else "requests/s", known[title], level)


def _segments(label: str, options: list[str], key: str, default: str) -> str:
    return str(
        st.segmented_control(
            label,
            options,
            default=default,
            required=True,
            key=key,
            bind="query-params",
            label_visibility="collapsed",
        )
    )


def _figure(placed: Tradeoff) -> None:
    chart(
        tradeoff_figure.figure(placed, st.context.theme.type == "dark"),
        "tradeoff",
        t(
            "{latency} against {throughput}",
            latency=placed.axes.latency_title,
            throughput=placed.axes.throughput_title,
        ),
        help=t(
            "Further right and further down is better. A line is one value of the knobs along "
            "rising load, which stands beside each point; whiskers are 95% intervals. Where a "
            "load was repeated the newest run counts, earlier ones are pale. Runs on the Pareto "
            "front have a ring: no other gives as much and is as fast. A cross: too many requests "
            "got no answer, which leaves it off the front. Hollow: the client was invalid."
        ),
        data=lambda: tables.numbers(placed),
    )
    _left_aside(placed)


def _left_aside(placed: Tradeoff) -> None:
    """What is not as the other points are, line by line."""
    st.caption("  \n".join(text.markdown(one) for one in tables.remarks(placed)))


def _front(placed: Tradeoff) -> None:
    front, others = tables.front_table(placed), tables.other_table(placed)
    if front.empty:
        st.info(
            t(
                "There is no front: in every run the client was invalid or too many requests got "
                "no answer."
            )
        )
    else:
        st.markdown(f"**{t('The Pareto front')}**")
        run_pages.sentences(front)
        st.caption(
            t(
                "Not told apart: the other run gives no less, and the intervals of the two "
                "latencies overlap, so which is faster is not known. A run whose sample is too "
                "small for an interval is called neither alike nor apart."
            )
        )
    if not others.empty:
        with st.expander(t("The other runs of the sweep, and why ({count})", count=len(others))):
            run_pages.sentences(others)


@st.cache_resource(max_entries=32, show_spinner=False)
def _timeline(path: str, seen: Fingerprint, running: bool, language: str) -> Timeline | str:
    """What the run did over its time, or why that cannot be read."""
    try:
        return timelines.of_run(open_run(runs.root() / path), ENGINES)
    except (MeasureError, OSError) as error:
        return str(error)


def _over_time(chosen: tuple[str, ...], running: Collection[str]) -> None:
    if not chosen:
        st.info(t("Choose a run above, or several."))
        return
    found: dict[str, Timeline] = {}
    with st.skeleton(height=_SKELETON_PX):
        loaded = {
            name: _timeline(name, runs.fingerprint(runs.root() / name), name in running, language())
            for name in chosen
        }
    for name, timeline in loaded.items():
        if isinstance(timeline, str):
            st.error(f"{text.markdown(name)}: {text.markdown(timeline, 600)}")
        else:
            found[name] = timeline
    timeline_charts.show(found, list(chosen))


def _knobs() -> None:
    known = knob_map.engines_with_knobs(ENGINES)
    titles = {engine.title: name for name, engine in known.items()}
    shown = st.pills(
        t("Engines"),
        list(titles),
        default=list(titles),
        selection_mode="multi",
        key="engines",
        bind="query-params",
        label_visibility="collapsed",
    )
    chosen = [name for title, name in titles.items() if title in (shown or [])]
    rows = knob_map.shared(known, chosen) if len(chosen) > 1 else knob_map.names(known, chosen)
    if not rows:
        st.info(t("Choose an engine above, or several."))
        return
    st.caption(
        t(
            "A row is one meaning: the lab's name for it, and each engine's own flag. Rest on a "
            "flag to read what it trades. With one engine alone all its knobs are shown."
        )
    )
    st.html(knob_map.render(known, chosen, rows))
    knob = st.selectbox(
        t("One knob in full"), knob_map.names(known, chosen), key="knob", bind="query-params"
    )
    run_pages.sentences(knob_map.detail(known, chosen, str(knob)))


page()
