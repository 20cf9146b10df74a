"""The ladders on the page: attainment and goodput over the load, and where each breaks."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from dashboard import run_pages, units
from dashboard.chart import chart
from dashboard.slo import ladder, ladder_figures
from dashboard.slo.measured import Held
from dashboard.words import t


def show(held: Sequence[Held], objective: float, dark: bool) -> None:
    """A pair of figures for loads in requests a second, and one for users, where there are any."""
    points = ladder.points(held)
    colours = ladder_figures.lines(points, dark)
    titles = {
        "rate": (t("Attainment against rate"), t("Goodput against rate")),
        "users": (t("Attainment against users"), t("Goodput against users")),
    }
    for kind, (attainment_title, goodput_title) in titles.items():
        some = [one for one in points if one.kind == kind]
        if not some:
            continue
        left, right = st.columns(2)
        with left:
            chart(
                ladder_figures.attainment_figure(some, objective, colours),
                f"attainment-{kind}",
                attainment_title,
                help=t(
                    "The share of finished requests that met every limit; a failed one did not. "
                    "Bars are exact 95% intervals (Clopper and Pearson), widened where requests "
                    "fail together. A line joins loads of one engine and its settings, runs of one "
                    "load taken together; between them nothing was measured. Dashed: the "
                    "objective. Dots: a valid client; diamonds: a suspect one; open crosses: an "
                    "invalid one."
                ),
                data=partial(ladder.numbers, some),
            )
        with right:
            chart(
                ladder_figures.goodput_figure(some, colours),
                f"goodput-{kind}",
                goodput_title,
                help=t(
                    "Requests a second that met every limit, with the same intervals. On the "
                    "dotted line every request asked for would be good."
                ),
                data=partial(ladder.numbers, some),
            )
        breaks = ladder.breaks(some, objective)
        if not breaks.empty:
            run_pages.sentences(breaks)
    if points:
        st.caption(
            t(
                "A load holds {objective} if the lower end of its interval does, and loses it if "
                "the upper end lies below. What lies in between settles nothing. {needed} good "
                "requests without a bad one are needed to hold it at all.",
                objective=units.show(objective, "ratio"),
                needed=f"{ladder.fewest(objective):,}",
            )
        )
