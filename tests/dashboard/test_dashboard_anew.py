"""Numbers that are saved from a part of a page that is drawn anew by itself."""

from typing import Any

from streamlit.testing.v1 import AppTest


def _page(every_s: float | None) -> None:
    import pandas as pd
    import plotly.graph_objects as go
    import streamlit as st

    from dashboard import anew
    from dashboard.chart import chart

    def show() -> None:
        frame = pd.DataFrame({"value (seconds)": [1.0]})
        chart(go.Figure(), "one", "One", help="One.", data=lambda: frame)

    st.session_state["menu-one"] = True
    anew.drawn(show, every_s)()
    st.text(f"{anew.by_itself()} after it")


def _button(every_s: float | None) -> Any:
    page = AppTest.from_function(_page, args=(every_s,)).run()
    assert not page.exception
    assert page.text[0].value == "False after it"
    (button,) = page.get("download_button")
    return button.proto


def test_a_page_that_moves_offers_a_file_that_outlives_its_next_drawing() -> None:
    assert not _button(5.0).HasField("deferred_file_id")


def test_a_page_that_stands_still_works_a_file_out_when_it_is_asked_for() -> None:
    assert _button(None).HasField("deferred_file_id")
