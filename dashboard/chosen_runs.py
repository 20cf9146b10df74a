"""The runs a page speaks of: chosen once, kept from page to page, and named in the address."""

import streamlit as st

from dashboard import runs, text
from dashboard.compare import tables
from dashboard.runs import Fingerprint, LoadedRun, Unreadable
from dashboard.words import t
from measure.store import RunInfo

MOST_RUNS = 8


@st.cache_resource(max_entries=24, show_spinner=False)
def _load(path: str, seen: Fingerprint) -> LoadedRun | Unreadable:
    """The run as it was when its files looked like `seen`."""
    return runs.load(runs.root() / path)


def opened(names: tuple[str, ...]) -> tuple[list[LoadedRun], list[Unreadable]]:
    """These runs, and those of them that cannot be read."""
    several = [_load(name, runs.fingerprint(runs.root() / name)) for name in names]
    return (
        [one for one in several if isinstance(one, LoadedRun)],
        [one for one in several if isinstance(one, Unreadable)],
    )


def choose(infos: list[RunInfo], *, most: int = MOST_RUNS, first: int = 2) -> tuple[str, ...]:
    """Let the reader choose among the runs that can be read; the address says which at first.

    Without an address it is what an earlier page showed, else the `first` newest, the older one
    first. What the address asks for and cannot be shown is said.
    """
    names = [info.run_id for info in infos if info.problem is None]
    asked = _asked({info.run_id for info in infos})
    if "chosen_runs" not in st.session_state:
        found = [name for name in asked if name in names]
        st.session_state["chosen_runs"] = found or names[:first][::-1]
    st.session_state["chosen_runs"] = [
        name for name in st.session_state["chosen_runs"] if name in names
    ][:most]
    titles = {info.run_id: tables.title(info) for info in infos}
    picked = st.multiselect(
        t("Runs"),
        names,
        key="chosen_runs",
        format_func=lambda name: titles[name],
        max_selections=most,
        placeholder=t("Choose runs"),
        label_visibility="collapsed",
        persist_state="session",
    )
    st.query_params["runs"] = runs.to_query(picked)
    _missing(asked, infos)
    return tuple(picked)


def _asked(known: set[str]) -> list[str]:
    """What the address asked for when the reader came."""
    if "asked_runs" not in st.session_state:
        st.session_state["asked_runs"] = runs.names_in(st.query_params.get_all("runs"), known)
    return list(st.session_state["asked_runs"])


def _missing(asked: list[str], infos: list[RunInfo]) -> None:
    problems = {info.run_id: info.problem for info in infos}
    for name in asked:
        if name not in problems:
            st.warning(
                t(
                    "The address asks for {run}, and there is no such run in {folder}.",
                    run=text.markdown(name),
                    folder=text.markdown(runs.root()),
                )
            )
        elif problems[name]:
            st.warning(text.markdown(problems[name], 600))
