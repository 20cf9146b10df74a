"""The runs a page speaks of: chosen once, kept from page to page, and named in the address."""

from concurrent.futures import ThreadPoolExecutor

import streamlit as st

from dashboard import runs, text
from dashboard.compare import tables
from dashboard.kept import Kept
from dashboard.runs import LoadedRun, Unreadable
from dashboard.words import t
from measure import notes
from measure.errors import MeasureError
from measure.store import RunInfo

MOST_RUNS = 8
_AT_ONCE = 4


KEPT_BYTES = 250_000_000
"""What runs that were opened may take together: some 400,000 records of 30 chunks."""
_opened: Kept[LoadedRun | Unreadable] = Kept(
    KEPT_BYTES, lambda one: one.size_bytes if isinstance(one, LoadedRun) else 0
)

# One after the other: a reader who waits for another page comes first.
_ahead = ThreadPoolExecutor(max_workers=1, thread_name_prefix="runs-ahead")


def opened(names: tuple[str, ...]) -> tuple[list[LoadedRun], list[Unreadable]]:
    """These runs, and those of them that cannot be read."""
    with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
        several = list(pool.map(_open, names))
    return (
        [one for one in several if isinstance(one, LoadedRun)],
        [one for one in several if isinstance(one, Unreadable)],
    )


def ahead(names: tuple[str, ...]) -> None:
    """Open these runs while the reader looks at something else: they are likely to be next."""
    for name in names:
        path = runs.root() / name
        if not _opened.holds(str(path), runs.fingerprint(path)):
            _ahead.submit(_open_whole, name)


def _open_whole(name: str) -> None:
    one = _open(name)
    if isinstance(one, LoadedRun):
        for worth in one.effective.values():
            len(worth)


def _open(name: str) -> LoadedRun | Unreadable:
    """The run as its files look now."""
    path = runs.root() / name
    return _opened.get(str(path), runs.fingerprint(path), lambda: runs.load(path))


def choose(infos: list[RunInfo], *, most: int = MOST_RUNS, first: int = 2) -> tuple[str, ...]:
    """Let the reader choose among the runs that can be read; the address says which at first.

    Archived runs are offered only where the address or the reader names them.

    Without an address it is what an earlier page showed, else the `first` newest, the older one
    first. What the address asks for and cannot be shown is said.
    """
    asked = _asked({info.run_id for info in infos})
    wanted = {*asked, *st.session_state.get("chosen_runs", ())}
    readable = [info for info in infos if info.problem is None]
    names = [info.run_id for info in readable if info.run_id in wanted or not _archived(info)]
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


def _archived(info: RunInfo) -> bool:
    """Whether somebody put it out of the way; what cannot be read is not."""
    try:
        return notes.read(info.path).archived
    except MeasureError:
        return False


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
