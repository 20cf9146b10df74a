"""One figure on a page: its title and help, the figure, and a menu to take it away."""

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard import text
from dashboard.words import t

_HTML = '<div><button data-kind="png"></button><button data-kind="svg"></button></div>'
_CSS = """
div { display: flex; gap: 8px; }
button { flex: 1; font: inherit; padding: 6px 10px; cursor: pointer; color: var(--st-text-color);
  background: var(--st-background-color); border: 1px solid var(--st-border-color);
  border-radius: var(--st-base-radius); white-space: nowrap; }
button:hover, button:focus-visible { border-color: var(--st-primary-color);
  color: var(--st-primary-color); outline: none; }
"""
_NOT_IN_A_KEY = re.compile(r"[^a-zA-Z0-9_-]+")


def chart(
    figure: go.Figure,
    key: str,
    title: str,
    *,
    help: str,
    data: Callable[[], pd.DataFrame],
    alt: str = "",
    queries: Sequence[str] = (),
    aside: str = "",
) -> None:
    """Draw the figure under its title.

    Args:
        figure: what is drawn.
        key: unique on the page; also what saved files are called.
        title: plain text, in the reader's language.
        help: what is shown and how to read it (Markdown), in the reader's language.
        data: the numbers drawn, as a table whose columns name their units; asked for only when
            somebody saves them.
        alt: what a reader hears who cannot see it; the title and the help if it is empty.
        queries: the PromQL the figure was read by, if it was.
        aside: a word in grey beside the title ("idle").
    """
    key = _NOT_IN_A_KEY.sub("-", key)
    left, right = st.columns([1, 0.07], gap="xxsmall", vertical_alignment="center")
    shown = f" :gray[{text.markdown(aside)}]" if aside else ""
    left.markdown(f"**{text.markdown(title)}**{shown}", help=help)
    with right:
        _menu(key, title, data, queries)
    st.plotly_chart(
        figure, key=key, config={"displayModeBar": False}, alt=alt or f"{title}. {help}"
    )


def _menu(key: str, title: str, data: Callable[[], pd.DataFrame], queries: Sequence[str]) -> None:
    """What can be taken away, worked out only while the menu is open."""
    menu = st.popover(
        "⋯",
        type="tertiary",
        key=f"menu-{key}",
        on_change="rerun",
        help=t("Save the figure or its numbers, see the queries"),
    )
    if not menu.open:
        return
    with menu:
        _pictures(key, title)
        st.download_button(
            t("Numbers (CSV)"),
            data=lambda: csv(data()),
            file_name=f"{key}.csv",
            mime="text/csv",
            key=f"csv-{key}",
            on_click="ignore",
            width="stretch",
        )
        for query in queries:
            st.caption(t("PromQL"))
            st.code(query, language="promql", wrap_lines=True)


def _pictures(key: str, title: str) -> None:
    st.components.v2.component(
        "save_picture",
        html=_HTML,
        css=_CSS,
        js=Path(__file__).with_name("save_picture.js").read_text(encoding="utf-8"),
    )(
        data={
            "key": key,
            "file": key,
            "title": text.plain(title),
            "png": t("Picture (PNG)"),
            "svg": t("Picture (SVG)"),
        },
        key=f"picture-{key}",
    )


def csv(frame: pd.DataFrame) -> bytes:
    """The table as CSV that spreadsheets open: UTF-8 with its mark; no cell is a formula."""
    safe = frame.copy()
    for name in safe.select_dtypes(include=["object", "str"]).columns:
        safe[name] = safe[name].map(_no_formula)
    written = io.StringIO()
    safe.to_csv(written, index=False)
    return written.getvalue().encode("utf-8-sig")


def _no_formula(cell: object) -> object:
    """A text that a spreadsheet would compute gets a mark in front that says it is text."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell
