"""Compare: one run or several, side by side, from their records."""

from functools import partial
from typing import Literal

import pandas as pd
import streamlit as st

from dashboard import chosen_runs, engine_side, run_figures, runs, text, theme
from dashboard.chart import chart
from dashboard.compare import definition_tables, tables, tiles
from dashboard.quantities import of_runs
from dashboard.run_figures import Sample
from dashboard.runs import LoadedRun
from dashboard.words import t
from measure.compare import Comparison, compare
from measure.store import RunInfo, list_runs
from servers.catalog import ENGINES

REFRESH_S = 3.0
MOST_REMARKS = 3
TABLE_HEIGHT = 420
_TO_MAKE = """lab run {first} --users 4
lab run {first} --users 16"""


def page() -> None:
    """The choice of runs, then everything about them."""
    root = runs.root()
    infos = list_runs(root)
    readable = [info for info in infos if info.problem is None]
    if not readable:
        _no_runs(str(root))
        _damaged(infos)
        return
    chosen = chosen_runs.choose(infos)
    running = any(info.running for info in readable if info.run_id in chosen)
    body = st.fragment(show, run_every=REFRESH_S if running else None)
    body(chosen, running)
    _damaged(infos)


def show(chosen: tuple[str, ...], was_running: bool) -> None:
    """The runs. While one of them goes on, this is done again every few seconds."""
    if not chosen:
        st.info("Choose a run above, or several.", icon=":material/compare_arrows:")
        return
    loaded, broken = chosen_runs.opened(chosen)
    for one in broken:
        st.error(f"{text.markdown(one.run_id)}: {text.markdown(one.reason, 600)}")
    if not loaded:
        return
    if was_running and not any(one.run.running for one in loaded):
        # The last of them has ended: the page around this fragment stops asking.
        st.rerun(scope="app")
    dark = st.context.theme.type == "dark"
    lines = theme.lines_for_runs([one.run_id for one in loaded], dark)
    st.html(tiles.render(loaded, lines))
    comparison = compare([one.run for one in loaded]) if len(loaded) > 1 else None
    _remarks(loaded, comparison)
    _latency(loaded, lines)
    _tables(loaded, comparison)
    _more_figures(loaded, lines)
    _engine_side(loaded)
    _definitions(loaded)


def _remarks(loaded: list[LoadedRun], comparison: Comparison | None) -> None:
    """What a reader must know before believing the figures."""
    remarks = list(comparison.warnings) if comparison else tables.doubts(loaded[0].run)
    if remarks:
        few, rest = remarks[:MOST_REMARKS], remarks[MOST_REMARKS:]
        st.markdown("\n".join(f"- {text.markdown(one, 600)}" for one in few))
        if rest:
            with st.expander(f"{len(rest)} more to mind"):
                st.markdown("\n".join(f"- {text.markdown(one, 600)}" for one in rest))


def _latency(loaded: list[LoadedRun], lines: dict[str, theme.Line]) -> None:
    known = {one.key: one for one in of_runs(*(one.run.summary for one in loaded))}
    measured = [key for key in known if any(one.values[key].size for one in loaded)]
    if not measured:
        st.info("No request has been answered yet, so there is no latency to show.")
        return
    key = st.segmented_control(
        "Latency",
        measured,
        default=measured[0],
        required=True,
        format_func=lambda key: known[key].title,
        key="metric",
        bind="query-params",
        label_visibility="collapsed",
    )
    chosen = known[str(key)]
    samples = _samples(loaded, lines, chosen.key)
    left, right = st.columns(2)
    with left:
        chart(
            run_figures.ecdf(samples, chosen.unit),
            "ecdf",
            t("{quantity}: share of requests at or below", quantity=t(chosen.title)),
            help=t(chosen.help),
            data=lambda: run_figures.values(samples, chosen.unit),
        )
    with right:
        chart(
            run_figures.tail(samples, chosen.unit),
            "tail",
            t("{quantity}: the tail, with 95% intervals", quantity=t(chosen.title)),
            help=t(
                "Each percentile the sample carries, to p99.9; the band is its distribution-free "
                "95% interval. Where the sample is too small a curve ends, and a band ends sooner."
            ),
            data=lambda: run_figures.tails(samples, chosen.unit),
        )
    _carried(samples)
    packed = [one.run_id for one in loaded if one.tokens_per_chunk > 1.05]
    if chosen.key == "chunk_gap_s" and packed:
        st.caption(
            f"In {text.markdown(', '.join(packed))} chunks hold several tokens: these gaps are "
            "not ITL."
        )


def _carried(samples: list[Sample]) -> None:
    """Say which tails end early."""
    short = [f"{one.name} has {one.values.size:,}" for one in samples if one.values.size < 1000]
    if short:
        st.caption(
            text.markdown("; ".join(short), 500)
            + " values: p99 needs 100, p99.9 needs 1,000, and their intervals 368 and 3,688 "
            "independent ones."
        )


def _tables(loaded: list[LoadedRun], comparison: Comparison | None) -> None:
    note = "In brackets: the 95% interval of the quantile. – : the sample cannot carry it."
    st.subheader("Numbers", anchor=False)
    if comparison is None:
        _table(tables.numbers_of_one(loaded[0].run))
        st.caption(f"{note} Choose a second run above to compare this one with.")
        return
    names = [one.run_id for one in loaded]
    _table(tables.numbers(comparison, names), TABLE_HEIGHT)
    st.caption(note)
    st.subheader("Settings that differ", anchor=False)
    differ = tables.settings(comparison, names, ENGINES)
    if differ.empty:
        st.caption("None: the runs repeat each other.")
    else:
        _table(differ)


def _more_figures(loaded: list[LoadedRun], lines: dict[str, theme.Line]) -> None:
    st.subheader("Distributions and throughput", anchor=False)
    columns = st.columns(3)
    known = {one.key: one for one in of_runs(*(one.run.summary for one in loaded))}
    keys = ("ttft_s", "itl_s") if "ttft_s" in known else ("ttft_from_schedule_s", "e2e_s")
    for column, key in zip(columns, keys, strict=False):
        samples = _samples(loaded, lines, key)
        what = known[key]
        if not any(one.values.size for one in samples):
            continue
        with column:
            chart(
                run_figures.distribution(samples, what.unit),
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
        chart(
            run_figures.over_time(rates, lines, "tok/s", warmup_s),
            "tokens",
            t("Output tokens/s"),
            help=t("Tokens that arrived, over seconds from the run's start; warm-up is shaded."),
            data=lambda: run_figures.rates(rates, "tok/s"),
        )


def _engine_side(loaded: list[LoadedRun]) -> None:
    st.subheader("The engine's own numbers beside the client's", anchor=False)
    runs_shown, names = [one.run for one in loaded], [one.run_id for one in loaded]
    table, notes = tables.engine_numbers(runs_shown, names, ENGINES)
    if not table.empty:
        _table(table)
        st.caption(engine_side.NOTE)
    for note in notes:
        st.caption(text.markdown(note))


def _definitions(loaded: list[LoadedRun]) -> None:
    """What other load generators would have called these requests. Worked out only if asked for."""
    st.subheader("In other tools' words", anchor=False)
    if not st.toggle(
        "Read these runs by the definitions of vllm bench serve, guidellm, aiperf and genai-bench",
        key="definitions",
        bind="query-params",
    ):
        return
    sentences: dict[str, None] = {}
    for one in loaded:
        st.markdown(f"**{text.markdown(one.run_id)}**")
        _table(definition_tables.table(one.definitions), TABLE_HEIGHT)
        sentences |= dict.fromkeys(definition_tables.why(one.definitions))
    st.caption(definition_tables.NOTE)
    st.markdown("\n".join(f"- {text.markdown(sentence, 400)}" for sentence in sentences))


def _samples(loaded: list[LoadedRun], lines: dict[str, theme.Line], key: str) -> list[Sample]:
    return [
        Sample(one.run_id, lines[one.run_id], one.values[key], one.effective[key]) for one in loaded
    ]


def _table(table: pd.DataFrame, height: int | Literal["auto"] = "auto") -> None:
    """The table, each column as wide as its longest text, or as most of its title."""
    widths = {
        name: st.column_config.TextColumn(
            width=min(28 + 8 * max(len(str(cell)) for cell in (name[:22], *table[name])), 420)
        )
        for name in table.columns
    }
    st.dataframe(table, hide_index=True, height=height, column_config=widths)


def _damaged(infos: list[RunInfo]) -> None:
    damaged = [info for info in infos if info.problem is not None]
    if damaged:
        with st.expander(f"Folders that cannot be read as a run ({len(damaged)})"):
            for info in damaged:
                st.text(f"{text.plain(info.run_id)}: {text.plain(info.problem, 600)}")


def _no_runs(root: str) -> None:
    st.subheader("No run yet", anchor=False)
    st.markdown(
        f"A run is one measured load on one engine; this page looks in {text.markdown(root)}. "
        "Make two that differ in one thing:"
    )
    first = next((name for name, one in ENGINES.items() if one.job == "engine"), "ENGINE")
    st.code(_TO_MAKE.format(first=first), language="bash")


page()
