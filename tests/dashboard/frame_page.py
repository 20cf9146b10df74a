"""Two figures for the browser tests of the frame: one stands still, one is drawn anew each second.

Run by Streamlit, not by pytest.
"""

import sys
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
import streamlit as st

sys.path.append(str(Path(__file__).resolve().parents[2]))

from dashboard import anew
from dashboard.chart import chart
from dashboard.figures import common

QUERY = 'sum by (instance) (rate(requests_total{job="<b>"}[1m]))'


def _figure(key: str, last: int) -> go.Figure:
    figure = go.Figure(layout=common(225))
    for name in ("a long name of a run, 20261123-061302", "b <i>&amp; c"):
        figure.add_scatter(x=[0, 1, 2], y=[1, 3, last], name=name, mode="lines")
    return figure


def _numbers(last: int) -> pd.DataFrame:
    return pd.DataFrame({"run": ["=1+1", "b", "c"], "value (seconds)": [1, 3, last]})


def _still() -> None:
    chart(
        _figure("still", 2),
        "still",
        "Latency <b>of</b> $x$ & *others*",
        help="What stands **still**.",
        data=lambda: _numbers(2),
        queries=[QUERY],
    )


def _moving() -> None:
    drawn = st.session_state["drawn"] = st.session_state.get("drawn", 0) + 1
    st.text(f"drawn {drawn}")
    chart(
        _figure("moving", drawn),
        "moving",
        "Moves",
        help="What moves.",
        data=lambda: _numbers(drawn),
        queries=[QUERY],
        quantiles={QUERY: f"histogram_quantile(0.99, {QUERY})"},
        aside="idle",
    )


st.set_page_config(layout="wide")
left, middle, right = st.columns(3)
with left:
    _still()
with middle:
    anew.drawn(_moving, 1.0)()
