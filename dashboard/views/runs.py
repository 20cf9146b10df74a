"""Runs: every run there is; find, tag, note, archive, import, export, delete."""

import hashlib
from pathlib import Path
from typing import Any

import streamlit as st

from dashboard import chosen_runs, runs, text
from dashboard.store import acts, listing, popovers
from dashboard.store.listing import Entry
from dashboard.told import told
from dashboard.words import t
from servers.catalog import ENGINES

MOST_COMPARED = 8
_HEIGHT = 500
_TO_MAKE = """lab run {first} --users 4
lab run {first} --users 16"""
_LEADS_TO = {
    "compare": (t("Compare"), ":material/compare_arrows:"),
    "tails": (t("Tails"), ":material/stacked_line_chart:"),
}


def page() -> None:
    """What happened to the last act, how to find runs, the runs, what to do with those picked."""
    root = runs.root()
    listed = listing.entries(root)
    _said()
    if not listed:
        _no_runs(root)
        return
    shown = _find(root, listed)
    above = st.container()
    picked = _table(shown) if shown else []
    if not shown:
        st.info(t("No run matches. Take a word or a filter away."), icon=":material/search_off:")
    with above:
        _acts(root, picked)
    readable = tuple(entry.run_id for entry in picked if entry.state == "finished")
    if len(readable) <= MOST_COMPARED:
        chosen_runs.ahead(readable)
    if len(picked) == 1:
        _details(picked[0])
    _damaged([entry for entry in shown if entry.problem])


def _find(root: Path, listed: list[Entry]) -> list[Entry]:
    """The search and the filters, all of them in the address."""
    query, engines, tags, verdicts, archived, more = st.columns(
        [3, 2, 2, 2, 1.3, 1.3], vertical_alignment="bottom"
    )
    words = query.text_input(
        t("Search"),
        key="q",
        bind="query-params",
        placeholder=t("Name, tag, note, model, knob=value"),
        help=t("Runs that hold every word, in their name, tags, note, engine, model or settings."),
    )
    engine = engines.multiselect(
        t("Engine"),
        listing.engines_of(listed),
        key="engine",
        bind="query-params",
        placeholder=t("All engines"),
    )
    tag = tags.multiselect(
        t("Tags"),
        listing.tags_of(listed),
        key="tag",
        bind="query-params",
        placeholder=t("All tags"),
    )
    verdict = verdicts.multiselect(
        t("Client"),
        list(listing.VERDICTS),
        key="verdict",
        bind="query-params",
        placeholder=t("All verdicts"),
    )
    hidden = archived.toggle(t("Archived"), key="archived", bind="query-params")
    with more:
        popovers.bring_in(root)
    shown = listing.select(
        listed, words, engines=engine, tags=tag, verdicts=verdict, archived=hidden
    )
    away = sum(entry.notes.archived for entry in listed)
    if len(listed) == 1:
        st.caption(t("{shown} of 1 run, {archived} archived", shown=len(shown), archived=away))
    else:
        st.caption(
            t(
                "{shown} of {all} runs, {archived} archived",
                shown=len(shown),
                all=len(listed),
                archived=away,
            )
        )
    return shown


def _table(shown: list[Entry]) -> list[Entry]:
    """The runs; the ones that the reader has picked."""
    if "picked_runs" not in st.session_state:
        known = {entry.run_id for entry in shown}
        asked = runs.names_in(st.query_params.get_all("picked"), known)
        st.session_state["picked_runs"] = asked
    wanted = st.session_state["picked_runs"]
    rows = [place for place, entry in enumerate(shown) if entry.run_id in wanted]
    # A selection is of places: with other runs in the table it must be another table's.
    names = "\n".join(entry.run_id for entry in shown)
    key = f"runs-{hashlib.sha256(names.encode('utf-8', 'replace')).hexdigest()[:12]}"
    event = st.dataframe(
        listing.table(shown),
        hide_index=True,
        height=min(_HEIGHT, 38 + 35 * len(shown)),
        key=key,
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": rows}},
        column_config=_columns(),
        column_order=list(_columns()),
        placeholder="–",
        alt=t("The runs, one a row, with their headline numbers."),
    )
    chosen: Any = event
    picked = [shown[row] for row in chosen["selection"]["rows"] if row < len(shown)]
    st.session_state["picked_runs"] = [entry.run_id for entry in picked]
    if picked:
        st.query_params["picked"] = runs.to_query([entry.run_id for entry in picked])
    else:
        st.query_params.pop("picked", None)
    return picked


def _columns() -> dict[str, Any]:
    column = st.column_config
    return {
        "run": column.TextColumn(t("Run"), width=250, pinned=True),
        "load": column.TextColumn(t("Load"), width=158),
        "settings": column.TextColumn(
            t("Settings"),
            width=225,
            help=t(
                "What tells a run from the others in this list of its engine, model and scenario "
                "stands first; then what is set otherwise than the engine's default."
            ),
        ),
        "failed": column.NumberColumn(
            t("Failed"), width=58, format="localized", help=t("Of the requests of the window.")
        ),
        "latency": column.TextColumn(
            t("Latency"), width=124, help=t("Which latency p50 and p99 are of: the run's headline.")
        ),
        "p50_ms": column.NumberColumn(t("p50 (ms)"), width=67, format="%.1f"),
        "p99_ms": column.NumberColumn(
            t("p99 (ms)"),
            width=67,
            format="%.1f",
            help=t("Empty where the run has too few answers to carry it."),
        ),
        "tokens_per_s": column.NumberColumn(t("Tokens/s"), width=68, format="%.1f"),
        "verdict": column.TextColumn(t("Client"), width=66),
        "state": column.TextColumn(t("State"), width=78),
        "engine": column.TextColumn(t("Engine"), width=150),
        "tags": column.ListColumn(t("Tags"), width=100),
        "goodput_rps": column.NumberColumn(
            t("Goodput/s"), width=85, format="%.2f", help=t("Empty where no SLO was given.")
        ),
        "requests": column.NumberColumn(t("Requests"), width=80, format="localized"),
        "when": column.DatetimeColumn(t("When"), width=125, format="YYYY-MM-DD HH:mm"),
        "model": column.TextColumn(t("Model"), width=170),
        "name": column.TextColumn(t("Name"), width=200),
    }


def _acts(root: Path, picked: list[Entry]) -> None:
    """What can be done with the runs that are picked."""
    names = [entry.run_id for entry in picked]
    readable = [entry.run_id for entry in picked if entry.state != "damaged"]
    with st.container(horizontal=True, vertical_alignment="center"):
        for view, (title, icon) in _LEADS_TO.items():
            _lead(view, title, icon, readable)
        popovers.describe(root, picked)
        back = bool(picked) and all(entry.notes.archived for entry in picked)
        st.button(
            t("Bring back") if back else t("Archive"),
            icon=":material/unarchive:" if back else ":material/archive:",
            disabled=not picked,
            on_click=popovers.do,
            args=(lambda: acts.archive(root, names, not back),),
            key="archive",
        )
        popovers.export(root, picked)
        popovers.delete(root, picked)
        if not picked:
            st.caption(t("Pick runs by the boxes on the left of the table."))


def _lead(view: str, title: str, icon: str, names: list[str]) -> None:
    """A button to another page with these runs chosen there."""
    if not Path(__file__).with_name(f"{view}.py").exists():
        return
    too_many = len(names) > MOST_COMPARED
    asked = st.button(
        title,
        icon=icon,
        disabled=not names or too_many,
        type="primary" if view == "compare" else "secondary",
        help=t("At most {count} runs at once", count=MOST_COMPARED) if too_many else None,
        key=f"to-{view}",
    )
    if asked:
        st.session_state["chosen_runs"] = st.session_state["asked_runs"] = sorted(names)
        st.switch_page(f"views/{view}.py", query_params={"runs": runs.to_query(sorted(names))})


def _said() -> None:
    outcome = st.session_state.pop("runs_said", None)
    if outcome is None:
        return
    if outcome.done:
        st.success(outcome.done, icon=":material/check:")
    for problem in outcome.problems:
        st.error(problem, icon=":material/error:")


def _details(entry: Entry) -> None:
    """The one run that is picked: what does not fit into its row."""
    if entry.problem:
        return
    left, right = st.columns(2)
    with left:
        if entry.notes.note:
            st.caption(t("Note"))
            st.text(entry.notes.note)
        if entry.reasons:
            st.caption(t("What the client says of itself"))
            st.markdown("\n".join(f"- {text.markdown(told(one), 400)}" for one in entry.reasons))
    with right:
        st.caption(t("Its folder"))
        st.code(text.plain(runs.root() / entry.run_id, 600), language=None, wrap_lines=True)


def _damaged(damaged: list[Entry]) -> None:
    if damaged:
        with st.expander(
            t("Runs with something that cannot be read ({count})", count=len(damaged))
        ):
            for entry in damaged:
                st.text(f"{text.plain(entry.run_id)}: {text.plain(entry.problem, 600)}")


def _no_runs(root: Path) -> None:
    st.subheader(t("No run yet"), anchor=False)
    st.markdown(
        t(
            "A run is one measured load on one engine; this page looks in {folder}. Make two that "
            "differ in one thing:",
            folder=text.markdown(root),
        )
    )
    first = next((name for name, one in ENGINES.items() if one.job == "engine"), "ENGINE")
    st.code(_TO_MAKE.format(first=first), language="bash")
    popovers.bring_in(root)


page()
