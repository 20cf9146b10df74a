"""The KV cache of runs over time, on the Memory page."""

from functools import partial

import streamlit as st

from dashboard import run_figures, theme, units
from dashboard.chart import chart
from dashboard.memory.observed import KvActivity
from dashboard.words import t

COLUMNS = 3


def show(kept: dict[str, KvActivity], chosen: list[str]) -> None:
    """KV cache in use, preemptions and prefix hits, a line a run."""
    lines = theme.lines_for_runs(chosen, st.context.theme.type == "dark")
    rows: tuple[tuple[str, units.Unit, str, str], ...] = (
        ("usage", "ratio", t("KV cache in use"), t("Share of its blocks, at each scrape.")),
        (
            "preemptions",
            "rps",
            t("Preemptions a second"),
            t("Requests thrown out of a full cache, to be computed anew."),
        ),
        (
            "prefix_hits",
            "ratio",
            t("Prefix-cache hits"),
            t("Share of prompt tokens found in the cache, over five seconds."),
        ),
    )
    if not any(vars(activity)[key] for activity in kept.values() for key, *_ in rows):
        if kept:
            st.caption(t("Their engines say nothing of a KV cache."))
        return
    st.subheader(t("KV cache"), anchor=False)
    for column, (key, unit, title, help) in zip(st.columns(COLUMNS), rows, strict=True):
        rates = {
            name: series for name, one in kept.items() if (series := vars(one)[key]) is not None
        }
        if not rates:
            continue
        with column:
            chart(
                run_figures.over_time(rates, lines, unit, 0.0),
                f"kv-{key}",
                title,
                help=help,
                data=partial(run_figures.rates, rates, unit),
            )
