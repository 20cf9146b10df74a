"""One figure on a page: its title and help, the figure, and a menu to take it away."""

import hashlib
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

from dashboard import anew, text
from dashboard.words import t

_BUTTONS = Path(__file__).with_name("chart_buttons.js")
_CSS = """
section { display: flex; gap: 8px; }
button { flex: 1; font: inherit; font-size: 0.875rem; padding: 6px 10px; cursor: pointer;
  color: var(--st-text-color);
  background: var(--st-background-color); border: 1px solid var(--st-border-color);
  border-radius: var(--st-base-radius); white-space: nowrap; }
button:hover, button:focus-visible { border-color: var(--st-primary-color);
  color: var(--st-primary-color); outline: none; }
"""
_Item = TypeVar("_Item")
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
    quantiles: Mapping[str, str] | None = None,
    aside: str = "",
) -> None:
    """Draw the figure under its title.

    Args:
        figure: what is drawn.
        key: unique on the page; also what saved files are called.
        title: plain text, in the reader's language.
        help: what is shown and how to read it (Markdown), in the reader's language.
        data: the numbers drawn, as a table whose columns name their units; asked for only when
            somebody saves them, or while the menu is open on a page that moves.
        alt: what a reader hears who cannot see it; the title and the help if it is empty.
        queries: the PromQL the figure was read by, if it was.
        quantiles: for those queries that answer with a histogram's buckets, what asks for the
            quantile that the figure shows the bounds of.
        aside: a word in grey beside the title ("idle").
    """
    key = _safe(key)
    with st.container(gap="xxsmall"):
        with st.container(horizontal=True, wrap=False, gap="xxsmall", vertical_alignment="center"):
            shown = f" :gray[{text.markdown(aside)}]" if aside else ""
            st.markdown(f"**{text.markdown(title)}**{shown}", help=help, width="stretch")
            _menu(key, title, data, queries, quantiles or {})
        st.plotly_chart(
            figure, key=key, config={"displayModeBar": False}, alt=alt or f"{title}. {help}"
        )


def side_by_side(items: Sequence[_Item], columns: int) -> Iterator[tuple[Any, _Item]]:
    """Each of the items with the column of the page that it goes to, row by row."""
    for start in range(0, len(items), columns):
        yield from zip(st.columns(columns), items[start : start + columns], strict=False)


def _safe(key: str) -> str:
    """The key as a file and a style sheet may have it; two names stay two."""
    plain = _NOT_IN_A_KEY.sub("-", key)[:80]
    if plain == key:
        return key
    return f"{plain.strip('-')}-{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()[:8]}"


def _menu(
    key: str,
    title: str,
    data: Callable[[], pd.DataFrame],
    queries: Sequence[str],
    quantiles: Mapping[str, str],
) -> None:
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
        picture = {"figure": key, "title": text.plain(title)}
        _buttons(
            f"picture-{key}",
            [
                {"does": "png", "label": t("Picture (PNG)"), **picture},
                {"does": "svg", "label": t("Picture (SVG)"), **picture},
            ],
        )
        st.download_button(
            t("Numbers (CSV)"),
            # The promise of a file dies with the next drawing, under the reader's finger.
            data=csv(data()) if anew.by_itself() else lambda: csv(data()),
            file_name=f"{key}.csv",
            mime="text/csv",
            key=f"csv-{key}",
            on_click="ignore",
            width="stretch",
        )
        for place, query in enumerate(queries):
            st.caption(t("PromQL"))
            _query(query, f"query-{key}-{place}")
            if whole := quantiles.get(query):
                st.caption(
                    t(
                        "That gives the rate in each bucket. The figure draws the bounds of the "
                        "bucket that holds the quantile; this one interpolates a number between "
                        "them:"
                    )
                )
                _query(whole, f"quantile-{key}-{place}")


def _query(query: str, key: str) -> None:
    st.code(query, language="promql", wrap_lines=True)
    # The code's own button to copy it is not there for who has no mouse.
    copy = {"does": "copy", "label": t("Copy the query"), "text": query, "done": t("Copied")}
    _buttons(key, [copy])


def _buttons(key: str, buttons: Sequence[Mapping[str, str]]) -> None:
    """Buttons whose work is done in the browser, by `chart_buttons.js`."""
    st.components.v2.component(
        "chart_buttons",
        html="<section></section>",
        css=_CSS,
        js=_BUTTONS.read_text(encoding="utf-8"),
    )(data={"buttons": list(buttons)}, key=key)


def csv(frame: pd.DataFrame) -> bytes:
    """The table as CSV that spreadsheets open: UTF-8 with its mark; no cell is a formula.

    Nor is a title: columns may be named after runs.
    """
    safe = frame.copy()
    for name in safe.select_dtypes(include=["object", "str", "category"]).columns:
        safe[name] = safe[name].astype(object).map(_no_formula)
    safe.columns = [_no_formula(name) for name in safe.columns]
    written = io.StringIO()
    safe.to_csv(written, index=False)
    return written.getvalue().encode("utf-8-sig")


def _no_formula(cell: object) -> object:
    """A text that a spreadsheet would compute gets a mark in front that says it is text."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in "=+-@\t\r" and cell else cell
