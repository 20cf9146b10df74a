"""What instances or runs held, over time and beside the forecasts, on the page."""

from collections.abc import Collection
from functools import partial

import streamlit as st

from dashboard import text
from dashboard.chart import chart, side_by_side
from dashboard.memory import figures, tables
from dashboard.memory.observed import Observed
from dashboard.words import t


def show(
    seen: list[Observed],
    clock_s: tuple[float, float] | None,
    queries: dict[str, list[str]],
    ended: Collection[str] = (),
) -> None:
    """A figure an instance, and the table of forecasts; `ended` are those that run no longer."""
    if not seen:
        return
    dark = st.context.theme.type == "dark"
    for column, one in side_by_side(seen, 2):
        with column:
            chart(
                figures.over_time(one, dark, clock_s=clock_s),
                f"memory-{one.name}",
                t("{name}: {whose}", name=one.label, whose=tables.whose(one)),
                help=t(
                    "All that it holds, at each scrape. Weights are as the model's files say, "
                    "the KV cache as the engine says; what is left is other: the program "
                    "itself, its libraries, activations. Lines are what was forecast when it "
                    "was started. A cut layer: pages that nobody has written to are not there "
                    "yet."
                ),
                data=partial(figures.numbers, one, clock=clock_s is not None),
                queries=queries.get(one.name, ()),
            )
    st.subheader(t("The forecast beside what happened"), anchor=False)
    st.dataframe(tables.beside(seen), hide_index=True)
    st.caption(
        t(
            "The forecast is what `lab plan` says, made before the start. What comes later is "
            "filled by requests: a peak belongs between the two sums."
        )
    )
    for words in tables.without_forecast(seen, ended):
        st.caption(text.markdown(words, 600))
    foreseen = [one for one in seen if one.plan is not None]
    if foreseen:
        with st.expander(t("What the forecasts rest on")):
            for one in foreseen:
                lines = "\n".join(f"- {text.markdown(words)}" for words in tables.basis(one))
                st.markdown(f"**{text.markdown(one.name)}**\n\n{lines}")
