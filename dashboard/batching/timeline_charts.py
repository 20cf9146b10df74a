"""Batch, queue and requests in flight of runs over their time, on the Batching page."""

from functools import partial

import streamlit as st

from dashboard import run_figures, text, theme
from dashboard.batching import timelines
from dashboard.batching.timelines import Drawn, Timeline
from dashboard.chart import chart
from dashboard.words import t

_RUNS_BESIDE = 2


def show(found: dict[str, Timeline], chosen: list[str]) -> None:
    """Three figures with a line a run, and what the runs do not tell."""
    lines = theme.lines_for_runs(chosen, st.context.theme.type == "dark")
    # A legend of many runs takes the width of the page, or the height of the figure.
    beside = len(found) <= _RUNS_BESIDE
    left, middle, right = st.columns(3) if beside else [st.container() for _ in range(3)]
    with left:
        _curves(
            timelines.batch_curves(found, lines),
            "batch",
            t("Batch"),
            t(
                "What the engine computed together, by its own counters: a mean over the five "
                "seconds before each scrape. Tokens where it batches continuously, whole requests "
                "where it batches requests."
            ),
        )
    with middle:
        _curves(
            timelines.queue_curves(found, lines),
            "queue",
            t("Waiting in the engine"),
            t("Requests accepted and not yet being computed, at each scrape."),
        )
    with right:
        _curves(
            timelines.flight_curves(found, lines),
            "in-flight",
            t("In flight"),
            t(
                "At the client: requests sent and not yet over, from the records, a mean over each "
                "two-hundredth of the run. In the engine: those it says it computes, at each "
                "scrape. What lies between them waits."
            ),
        )
    _remarks(found)


def _curves(drawn: Drawn, key: str, title: str, help: str) -> None:
    if not drawn.rates:
        st.markdown(f"**{text.markdown(title)}**")
        st.caption(t("None of these runs tells it."))
        return
    chart(
        run_figures.over_time(drawn.rates, drawn.lines, "count", 0.0),
        key,
        title,
        help=help,
        data=partial(run_figures.rates, drawn.rates, "count"),
    )


def _remarks(found: dict[str, Timeline]) -> None:
    for name, timeline in found.items():
        for words in timeline.missing:
            st.caption(f"{text.markdown(name)}: {text.markdown(words)}")
