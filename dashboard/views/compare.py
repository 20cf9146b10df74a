"""Compare: one run or several, side by side, from their records."""

from collections.abc import Sequence
from functools import partial

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard import anew, chosen_runs, engine_side, run_figures, run_pages, runs, text, theme
from dashboard.chart import chart
from dashboard.compare import definition_tables, differences, latency, scatter, tables, tiles
from dashboard.compare.scatter import Axis, Called
from dashboard.runs import LoadedRun
from dashboard.short_names import LONGEST, short
from dashboard.told import told
from dashboard.words import language, t
from measure import compare, notes
from measure.compare import Comparison
from measure.errors import MeasureError
from servers.catalog import ENGINES

REFRESH_S = 3.0
TABLE_HEIGHT = 420
_SKELETON_PX = 300
MOST_NAMES = 4
LONGEST_NAMES = {1: 44, 2: 30}
_TO_MAKE = """lab run {first} --users 4
lab run {first} --users 16"""


def page() -> None:
    """The choice of runs, then everything about them."""
    root = runs.root()
    infos = runs.listed(root)
    readable = [info for info in infos if info.problem is None]
    if not readable:
        first = next((name for name, one in ENGINES.items() if one.job == "engine"), "ENGINE")
        run_pages.no_runs(str(root), _TO_MAKE.format(first=first))
        run_pages.damaged(infos)
        return
    chosen = chosen_runs.choose(infos)
    running = any(info.running for info in readable if info.run_id in chosen)
    body = anew.drawn(show, REFRESH_S if running else None)
    body(chosen, running)
    run_pages.damaged(infos)


def show(chosen: tuple[str, ...], was_running: bool) -> None:
    """The runs. While one of them goes on, this is done again every few seconds."""
    if not chosen:
        st.info(t("Choose a run above, or several."), icon=":material/compare_arrows:")
        return
    with st.skeleton(height=_SKELETON_PX):
        loaded, broken = chosen_runs.opened(chosen)
    run_pages.unreadable(broken)
    if not loaded:
        return
    if was_running and not any(one.run.running for one in loaded):
        # The last of them has ended: the page around this fragment stops asking.
        st.rerun(scope="app")
    called = _called(loaded)
    if len(loaded) == 1:
        _top(loaded, called, None)
        run_pages.remarks(tables.doubts(loaded[0].run))
        latency.show(loaded, called, None)
        _one(loaded[0])
    else:
        with st.skeleton(height=_SKELETON_PX):
            comparison = compare.compare(
                [one.run for one in loaded], known=latency.distributions(loaded)
            )
        _top(loaded, called, comparison)
        run_pages.remarks([told(one) for one in comparison.warnings])
        against = latency.show(loaded, called, comparison) or comparison
        _several(against, called)
        _differences(comparison, called)
        _scatter(loaded, comparison, called)
    _more_figures(loaded, called)
    _engine_side(loaded, called)
    _definitions(loaded)


def _called(loaded: Sequence[LoadedRun]) -> list[Called]:
    """The runs as figures and tables call and draw them."""
    names = [one.run_id for one in loaded]
    lines = theme.lines_for_runs(names, st.context.theme.type == "dark")
    brief = short(names, LONGEST_NAMES.get(len(names), LONGEST))
    return [Called(name, cut, lines[name]) for name, cut in zip(names, brief, strict=True)]


def _full_names(called: Sequence[Called]) -> dict[str, str]:
    return {one.short: one.name for one in called}


def _top(
    loaded: Sequence[LoadedRun], called: Sequence[Called], comparison: Comparison | None
) -> None:
    """What differs in a line, the big numbers, what people wrote about the runs."""
    if comparison:
        words = differences.headline(comparison, ENGINES)
        if words:
            st.markdown(f"**{t('Differs in:')}** {text.markdown(words, 400)}")
        else:
            st.markdown(t("No setting differs: the runs repeat each other."))
    st.html(tiles.render(loaded, {one.name: one.line for one in called}))
    for one in loaded:
        try:
            kept = notes.read(one.run.path)
        except MeasureError as error:
            st.warning(text.markdown(error, 600))
            continue
        said = [*(f"#{tag}" for tag in kept.tags), *([kept.note] if kept.note else [])]
        if said:
            st.caption(f"{text.markdown(one.run_id)}: {text.markdown(' '.join(said), 400)}")


def _one(loaded: LoadedRun) -> None:
    st.subheader(t("Numbers"), anchor=False)
    run_pages.table(tables.numbers_of_one(loaded.run))
    st.caption(_in_brackets())
    st.caption(t("Choose a second run above to compare this one with."))


def _several(against: Comparison, called: Sequence[Called]) -> None:
    names, full = [one.short for one in called], _full_names(called)
    st.subheader(t("Numbers"), anchor=False)
    run_pages.table(tables.numbers(against, names), TABLE_HEIGHT, full)
    st.caption(_in_brackets())
    if len(called) > 2:
        words = t("The same, over {run}", run=called[against.baseline].name)
        st.markdown(f"**{text.markdown(words)}**")
        run_pages.table(tables.ratios(against, names), TABLE_HEIGHT, full)


def _in_brackets() -> str:
    return t("In brackets: the 95% interval of the quantile. – : the sample cannot carry it.")


def _differences(comparison: Comparison, called: Sequence[Called]) -> None:
    st.subheader(t("Settings that differ"), anchor=False)
    differ = differences.table(comparison, [one.short for one in called], ENGINES)
    if differ.empty:
        st.caption(t("None: the runs repeat each other."))
    else:
        run_pages.table(differ, full_names=_full_names(called))


def _scatter(loaded: Sequence[LoadedRun], comparison: Comparison, called: Sequence[Called]) -> None:
    st.subheader(t("One number against another"), anchor=False)
    known = _axes(latency.seen(loaded), comparison, loaded)
    across, up = scatter.defaults(known)
    left, right = st.columns(2)
    x, y = (
        known[_axis(column, label, key, known, default)]
        for column, label, key, default in (
            (left, t("Across"), "x", across),
            (right, t("Upwards"), "y", up),
        )
    )
    chart(
        scatter.figure(called, x, y),
        "scatter",
        t("{up} against {across}", up=told(y.title), across=told(x.title)),
        help=t(
            "A point a run; whiskers are 95% intervals, where the number has one. Batch and memory "
            "are the engine's own, in the window."
        ),
        data=lambda: scatter.numbers(called, x, y),
    )
    missing = scatter.left_out(called, x, y)
    if missing:
        st.caption(t("Not shown, lacking a number: {runs}", runs=text.markdown(", ".join(missing))))


@st.cache_data(max_entries=32, show_spinner=False)
def _axes(
    seen: latency.Seen,
    _comparison: Comparison,
    _loaded: Sequence[LoadedRun],
) -> dict[str, Axis]:
    """The engines' part of it is read from files, which a choice of axes does not change."""
    return scatter.axes(_comparison, [one.run for one in _loaded], ENGINES)


def _axis(
    column: "st.delta_generator.DeltaGenerator",
    label: str,
    key: str,
    known: dict[str, Axis],
    default: str,
) -> str:
    titles = list(known)
    with column:
        return str(
            st.selectbox(
                label,
                titles,
                index=titles.index(default),
                key=key,
                bind="query-params",
                persist_state="session",
            )
        )


def _more_figures(loaded: Sequence[LoadedRun], called: Sequence[Called]) -> None:
    st.subheader(t("Distributions and throughput"), anchor=False)
    columns = st.columns(3)
    known = latency.quantities(loaded)
    keys = ("ttft_s", "itl_s") if "ttft_s" in known else ("ttft_from_schedule_s", "e2e_s")
    for column, key in zip(columns, [key for key in keys if key in known], strict=False):
        samples = latency.samples_of(loaded, called, key)
        what = known[key]
        if not any(one.values.size for one in samples):
            continue
        with column:
            chart(
                _narrow(run_figures.distribution(samples, what.unit), called),
                f"distribution-{key}",
                t(what.title),
                help=t(what.help),
                data=partial(run_figures.values, samples, what.unit),
            )
    if not any(one.run.summary["output_tokens_per_s"] for one in loaded):
        return
    with columns[2]:
        rates = {one.run_id: one.tokens_per_s for one in loaded}
        warmup_s = max(one.run.window.start_s for one in loaded)
        lines = {one.name: one.line for one in called}
        brief = {one.name: one.short for one in called}
        chart(
            _narrow(run_figures.over_time(rates, lines, "tok/s", warmup_s, brief), called),
            "tokens",
            t("Output tokens/s"),
            help=t("Tokens that arrived, over seconds from the run's start; warm-up is shaded."),
            data=lambda: run_figures.rates(rates, "tok/s"),
        )


def _narrow(figure: go.Figure, called: Sequence[Called]) -> go.Figure:
    """A third of the page has no room for many names: the tiles above have the colours."""
    if len(called) > MOST_NAMES:
        figure.update_layout(showlegend=False, margin={"t": 12})
    return figure


def _engine_side(loaded: Sequence[LoadedRun], called: Sequence[Called]) -> None:
    st.subheader(t("The engine's own numbers beside the client's"), anchor=False)
    names = tuple(one.short for one in called)
    shown, remarks = _engine_numbers(latency.seen(loaded), names, language(), loaded)
    if not shown.empty:
        run_pages.table(shown)
        st.caption(t(engine_side.NOTE))
    for remark in remarks:
        st.caption(text.markdown(remark))


@st.cache_data(max_entries=32, show_spinner=False)
def _engine_numbers(
    seen: latency.Seen,
    names: tuple[str, ...],
    language: str,
    _loaded: Sequence[LoadedRun],
) -> tuple[pd.DataFrame, list[str]]:
    return tables.engine_numbers([one.run for one in _loaded], names, ENGINES)


def _definitions(loaded: Sequence[LoadedRun]) -> None:
    """What other load generators would have called these requests. Worked out only if asked for."""
    st.subheader(t("In other tools' words"), anchor=False)
    if not st.toggle(
        t(
            "Read these runs by the definitions of vllm bench serve, guidellm, aiperf and "
            "genai-bench"
        ),
        key="definitions",
        bind="query-params",
    ):
        return
    sentences: dict[str, None] = {}
    for one in loaded:
        st.markdown(f"**{text.markdown(one.run_id)}**")
        run_pages.table(definition_tables.table(one.definitions), TABLE_HEIGHT)
        sentences |= dict.fromkeys(definition_tables.why(one.definitions))
    st.caption(t(definition_tables.NOTE))
    st.markdown("\n".join(f"- {text.markdown(sentence, 400)}" for sentence in sentences))


page()
