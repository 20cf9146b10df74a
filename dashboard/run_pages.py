"""What the pages about runs have in common where there is nothing, or something broken."""

from collections.abc import Mapping, Sequence
from typing import Literal
from unicodedata import east_asian_width

import pandas as pd
import streamlit as st

from dashboard import text
from dashboard.runs import Unreadable
from dashboard.words import t
from measure.store import RunInfo

ROW_HEIGHT = 35


def no_runs(root: str, commands: str) -> None:
    """There is no run that can be read: where they are looked for, and how to make some."""
    st.subheader(t("No run yet"), anchor=False)
    st.markdown(
        t(
            "A run is one measured load on one engine; this page looks in {folder}. Make one:",
            folder=text.markdown(root),
        )
    )
    st.code(commands, language="bash")


def unreadable(broken: Sequence[Unreadable]) -> None:
    """The chosen runs that could not be opened, each with its reason."""
    for one in broken:
        st.error(f"{text.markdown(one.run_id)}: {text.markdown(one.reason, 600)}")


def damaged(infos: Sequence[RunInfo]) -> None:
    """The folders that are no whole runs, folded away."""
    found = [info for info in infos if info.problem is not None]
    if found:
        with st.expander(t("Folders that cannot be read as a run ({count})", count=len(found))):
            for info in found:
                st.text(f"{text.plain(info.run_id)}: {text.plain(info.problem, 600)}")


def remarks(found: Sequence[str], most: int = 3) -> None:
    """What to mind, as a list; what is beyond the first few is folded away."""
    if not found:
        return
    st.markdown("\n".join(f"- {text.markdown(one, 600)}" for one in found[:most]))
    if found[most:]:
        with st.expander(t("{count} more to mind", count=len(found) - most)):
            st.markdown("\n".join(f"- {text.markdown(one, 600)}" for one in found[most:]))


def table(
    shown: pd.DataFrame,
    height: int | Literal["auto"] = "auto",
    full_names: Mapping[str, str] | None = None,
) -> None:
    """A table of texts, each column as wide as its longest one, or as most of its title.

    A first column without a title stays where it is when the others are scrolled. `full_names`
    are those of columns whose titles are cut, for who asks.
    """
    widths = {
        name: st.column_config.TextColumn(
            text.plain(name, 60),
            width=min(28 + 6 * max(_columns(str(cell)) for cell in (name[:24], *shown[name])), 420),
            help=text.markdown((full_names or {}).get(name, "")) or None,
            pinned=name == "",
        )
        for name in shown.columns
    }
    if isinstance(height, int) and ROW_HEIGHT * (len(shown) + 1) < height:
        height = "auto"
    st.dataframe(shown, hide_index=True, height=height, column_config=widths)


def _columns(words: str) -> int:
    """How much room the words take: those of Korean take that of two Latin ones each."""
    return sum(2 if east_asian_width(letter) in "WF" else 1 for letter in words)


def sentences(shown: pd.DataFrame) -> None:
    """A table that wraps, since sentences need lines of their own; its cells nothing but text."""
    st.table(
        shown.rename(columns=text.markdown).map(lambda cell: text.markdown(cell, 600)),
        border="horizontal",
        hide_index=True,
    )
