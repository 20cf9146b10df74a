"""Which instances and load tests the Live page shows: the reader's choice, in the address."""

from collections.abc import Sequence

import streamlit as st

from dashboard import runs, text
from dashboard.sources import GPU, MOST_UNASKED, Source, few
from dashboard.words import t

NEWEST_LOADS = 2
_KEY = "instances"


def usual(found: Sequence[Source]) -> list[Source]:
    """What is shown unasked: the engines (`few`), all GPUs, and the newest load tests."""
    newest = [source.name for source in found if source.is_load][:NEWEST_LOADS]
    engines = few([one for one in found if one.is_engine])
    return [one for one in found if one.kind == GPU or one.name in newest or one in engines]


def picked(found: Sequence[Source], names: Sequence[str]) -> list[Source]:
    """The sources of these names, with the GPUs; the usual ones where none is there."""
    some = [one for one in found if one.name in names]
    return [one for one in found if one.kind == GPU or one in some] if some else usual(found)


def offer(found: Sequence[Source]) -> tuple[str, ...]:
    """Let the reader choose; what the address asks for stays a choice though it is not there."""
    if _KEY not in st.session_state:
        asked = runs.names_in(st.query_params.get_all(_KEY), set())
        st.session_state[_KEY] = list(dict.fromkeys(asked))
    here = [one.name for one in found if one.kind != GPU]
    st.session_state[_KEY] = list(st.session_state[_KEY])
    about = {one.name: f"{one.name} ({one.state})" if one.state else one.name for one in found}
    names = st.multiselect(
        t("Instances and load tests"),
        list(dict.fromkeys([*here, *st.session_state[_KEY]])),
        key=_KEY,
        format_func=lambda name: text.plain(about.get(name, name), 80),
        placeholder=t("Shown: all engines and the newest load tests. Choose others"),
        label_visibility="collapsed",
        persist_state="session",
    )
    if names:
        st.query_params[_KEY] = runs.to_query(names)
    else:
        st.query_params.pop(_KEY, None)
    return tuple(names)


def choose(found: Sequence[Source], names: Sequence[str]) -> list[Source]:
    """The chosen sources; what is not there is said."""
    missing = [name for name in names if name not in {one.name for one in found}]
    if missing:
        st.warning(
            t(
                "Nothing is called {names} in this time range.",
                names=text.markdown(", ".join(missing)),
            )
        )
    shown = picked(found, names)
    left_out([one for one in found if one.is_engine], [one for one in shown if one.is_engine])
    return shown


def left_out(engines: Sequence[Source], shown: Sequence[Source]) -> None:
    """Say it where so many instances are there that not all are shown unasked."""
    if len(shown) == MOST_UNASKED < len(engines):
        st.caption(
            t(
                "{shown} of {all} instances are shown. Choose others above.",
                shown=len(shown),
                all=len(engines),
            )
        )
