"""Tails: how slow the slow ones are, when, why, and what becomes of them over several calls."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import streamlit as st

from dashboard import anew, chosen_runs, run_pages, runs, tail_figure, text, theme
from dashboard.chart import chart
from dashboard.compare import tiles
from dashboard.compare.tables import doubts
from dashboard.quantities import Quantity, headline, of_runs
from dashboard.runs import Fingerprint, LoadedRun
from dashboard.samples import Sample
from dashboard.short_names import short
from dashboard.tails import carry, heat, serial, split_charts
from dashboard.tails.heat import Heat
from dashboard.tails.serial import Serial
from dashboard.words import t
from measure.quantiles import Floats
from measure.summary import sample
from measure.window import is_open_loop
from servers.catalog import ENGINES

REFRESH_S = 3.0
MAIN_HEIGHT = 430
_SKELETON_PX = 300
_TO_MAKE = "lab run {first} --rate 4 --arrival poisson"


def page() -> None:
    """The choice of runs, then their tails."""
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
        st.info(t("Choose a run above, or several."), icon=":material/stacked_line_chart:")
        return
    with st.skeleton(height=_SKELETON_PX):
        loaded, broken = chosen_runs.opened(chosen)
    run_pages.unreadable(broken)
    if not loaded:
        return
    if was_running and not any(one.run.running for one in loaded):
        # The last of them has ended: the page around this fragment stops asking.
        st.rerun(scope="app")
    dark = st.context.theme.type == "dark"
    lines = theme.lines_for_runs([one.run_id for one in loaded], dark)
    st.html(tiles.render(loaded, lines))
    run_pages.remarks([doubt for one in loaded for doubt in doubts(one.run)])
    what = _quantity(loaded)
    if what is None:
        st.info(
            t(
                "No request in the window of these runs has been answered, so there is no latency "
                "to show."
            )
        )
        return
    names = [one.run_id for one in loaded]
    called = dict(zip(names, short(names), strict=True))
    _main(_samples(loaded, called, lines, what.key), what, loaded)
    _heatmaps(loaded, lines, what)
    split_charts.show(loaded, called, dark)
    _serial(loaded, called, lines, what)


def _quantity(loaded: Sequence[LoadedRun]) -> Quantity | None:
    known = {one.key: one for one in of_runs(*(one.run.summary for one in loaded))}
    measured = [key for key in known if any(one.values[key].size for one in loaded)]
    if not measured:
        return None
    titles = {key: known[key].title for key in measured}
    key = st.segmented_control(
        t("Latency"),
        measured,
        default=headline(measured, open_loop=all(is_open_loop(one.run.manifest) for one in loaded)),
        required=True,
        format_func=lambda key: titles[key],
        key="metric",
        bind="query-params",
        label_visibility="collapsed",
        persist_state="session",
    )
    return known[str(key)]


def _samples(
    loaded: Sequence[LoadedRun], called: dict[str, str], lines: dict[str, theme.Line], key: str
) -> list[Sample]:
    found = []
    for one in loaded:
        name = one.run_id
        found.append(Sample(name, lines[name], one.values[key], one.effective[key], called[name]))
    return found


def _main(samples: list[Sample], what: Quantity, loaded: Sequence[LoadedRun]) -> None:
    figure = tail_figure.figure(samples, what.unit, MAIN_HEIGHT)
    carry.mark_ends(figure, samples)
    chart(
        figure,
        "tail",
        t("{quantity}: the tail to p99.9, with 95% intervals", quantity=t(what.title)),
        help=t(
            "How slow the slowest are. To the right the axis halves what is left: p90 leaves one "
            "request in ten above it, p99.9 one in a thousand. Exact, from the records in the "
            "window. The band is the distribution-free 95% interval, widened where neighbouring "
            "requests resemble each other. A curve ends where its sample says no more."
        ),
        data=lambda: tail_figure.numbers(samples, what.unit),
    )
    packed = [one.run_id for one in loaded if one.tokens_per_chunk > 1.05]
    if what.key == "chunk_gap_s" and packed:
        st.caption(
            t(
                "In {runs} chunks hold several tokens: these gaps are not ITL.",
                runs=text.markdown(", ".join(packed)),
            )
        )
    with st.expander(t("How far each sample carries"), icon=":material/straighten:"):
        run_pages.table(carry.table(samples))
        st.caption(
            t(
                "A quantile is shown if at least one value lies above it: p99 needs 100 values, "
                "p99.9 needs 1,000. An interval needs more, and of independent values: 36 for "
                "p90, 368 for p99, 3,688 for p99.9. Requests that were answered together are "
                "worth fewer than they are."
            )
        )


def _heatmaps(loaded: Sequence[LoadedRun], lines: dict[str, theme.Line], what: Quantity) -> None:
    st.subheader(t("When it was slow"), anchor=False)
    with st.skeleton(height=_SKELETON_PX):
        found = {one.run_id: _heat(one.run_id, _seen(one), what.key, one) for one in loaded}
    shown = {name: cells for name, cells in found.items() if cells is not None}
    if not shown:
        return
    bounds = heat.value_range(list(shown.values()))
    columns = st.columns(2 if len(shown) > 1 else 1)
    for place, (name, cells) in enumerate(shown.items()):
        with columns[place % len(columns)]:
            chart(
                heat.figure(cells, lines[name], what.unit, bounds),
                f"heat-{place}",
                text.plain(name, 60),
                help=t(
                    "Requests over the run's time: the darker a cell, the more values. Grey is "
                    "outside the window (warm-up, drain) and counts in no number. A red cross: "
                    "requests wanted then failed and have no latency."
                ),
                data=partial(heat.numbers, cells, name, what.unit),
            )


def _serial(
    loaded: Sequence[LoadedRun],
    called: dict[str, str],
    lines: dict[str, theme.Line],
    what: Quantity,
) -> None:
    st.subheader(t("What several calls in a row make of it"), anchor=False)
    calls = int(
        st.number_input(
            t("Serial calls"),
            min_value=1,
            max_value=serial.MOST_CALLS,
            value=10,
            key="calls",
            bind="query-params",
            persist_state="session",
            width=160,
        )
    )
    if what.key not in serial.QUANTITIES:
        what = next(
            one for one in of_runs(*(one.run.summary for one in loaded)) if one.key == "e2e_s"
        )
    samples = _samples(loaded, called, lines, what.key)
    left, right = st.columns(2)
    with left:
        chart(
            serial.chance_figure(samples, calls, what.unit),
            "chance",
            t("{quantity}: chance that a call is slower", quantity=t(what.title))
            if calls == 1
            else t(
                "{quantity}: chance that one of {calls} calls is slower",
                quantity=t(what.title),
                calls=calls,
            ),
            help=t(
                "1 − F(x)^n: the chance that at least one of n calls takes longer than x. Thin "
                "and dotted: a single call. The calls are taken to be independent of each other. "
                "(Dean and Barroso, The Tail at Scale, 2013.)"
            ),
            data=lambda: serial.chance_numbers(samples, calls, what.unit),
        )
    with right:
        chart(
            serial.slowest_figure(samples, calls, what.unit),
            "slowest",
            t("{quantity}: the slowest of n calls, p50 and p99", quantity=t(what.title)),
            help=t(
                "The thin line is the median of the slowest of n independent calls, the thick one "
                "its p99. p99 of the slowest of n is the 0.99^(1/n) quantile of one call, so a "
                "curve ends where the sample carries that no more."
            ),
            data=lambda: serial.slowest_numbers(samples, calls, what.unit),
        )
    with st.skeleton(height=_SKELETON_PX):
        facts = [
            (called[one.run_id], _calls(one.run_id, _seen(one), what.key, calls, one))
            for one in loaded
        ]
    full = {brief: name for name, brief in called.items()}
    run_pages.table(
        serial.table([(name, one) for name, one in facts if one], what.unit), full_names=full
    )
    st.caption(
        t(
            "Calls are drawn from the run's own requests, each independently of the others; the "
            "last share but one is of calls that really followed each other, and where it differs "
            "they are not independent. The sum is the exact convolution on a grid, its error "
            "stated where it shows. A dash: the sample does not carry it."
        )
    )


def _seen(one: LoadedRun) -> Fingerprint:
    return runs.fingerprint(one.run.path)


@st.cache_data(max_entries=64, show_spinner=False)
def _heat(name: str, seen: Fingerprint, key: str, _one: LoadedRun) -> Heat | None:
    return heat.heat(_one.run, key)


@st.cache_data(max_entries=128, show_spinner=False)
def _calls(name: str, seen: Fingerprint, key: str, calls: int, _one: LoadedRun) -> Serial | None:
    return serial.serial(_in_order(_one, key), calls, _one.run.summary["requests"]["failed"])


def _in_order(one: LoadedRun, key: str) -> Floats:
    values, _ = sample(key, one.run.counted, open_loop=is_open_loop(one.run.manifest))
    return values[~np.isnan(values)]


page()
