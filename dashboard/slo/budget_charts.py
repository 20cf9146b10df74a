"""What bad requests missed, and how fast they burnt a run's error budget, on the page."""

from collections.abc import Mapping, Sequence
from functools import partial

import streamlit as st

from dashboard import run_pages, runs, theme
from dashboard.chart import chart
from dashboard.runs import Fingerprint
from dashboard.slo import budget
from dashboard.slo.measured import Held, Measured
from dashboard.words import t
from measure.attainment import Burn
from measure.slo import Slo

MOST_BARS = 12
TABLE_HEIGHT = 420


def missed(held: Sequence[Held], slos: Mapping[str, Slo], dark: bool) -> None:
    """The limits that were missed, and a row for each run."""
    st.subheader(t("Which limit was missed"), anchor=False)
    bad = budget.most_missed(held, MOST_BARS)
    if bad:
        chart(
            budget.missed_figure(bad, dark),
            "missed",
            t("Requests that missed, by what they missed"),
            help=t(
                "Each bad request once: it failed, or it is over these limits. In the bars: how "
                "many; the axis: of those that finished. The worst {most} runs at most.",
                most=MOST_BARS,
            ),
            data=partial(budget.missed_numbers, bad),
        )
    table = budget.table(held, {name: str(slo) for name, slo in slos.items()})
    run_pages.table(table, TABLE_HEIGHT if len(held) > 11 else "auto")


def burnt(held: Sequence[Held], slos: Mapping[str, Slo], objective: float, dark: bool) -> None:
    """The error budget of the run that the reader chooses; the worst one at first."""
    st.subheader(t("Error budget"), anchor=False)
    finished = [pair for pair in held if pair[1].finished]
    names = [one.run_id for one, _ in sorted(finished, key=lambda pair: pair[1].share or 0.0)]
    name = st.selectbox(
        t("Run"), names, key="budget", bind="query-params", label_visibility="collapsed"
    )
    one = next((one for one, _ in held if one.run_id == name), None)
    if one is None:
        return
    line = next(iter(theme.lines_for_runs([one.run_id], dark).values()))
    slo, seen = slos[one.run_id], runs.fingerprint(runs.root() / one.run_id)
    several = [
        _burn(one.run_id, seen, str(slo), objective, width_s, one)
        for width_s in budget.widths_s(one.span.length_s)
    ]
    left, right = st.columns(2)
    with left:
        chart(
            budget.burn_figure(several, line),
            "burn",
            t("Burn rate"),
            help=t(
                "The share of bad requests among those wanted in the last stretch, over the share "
                "that the objective allows. At 1 the budget lasts exactly as long as the window; "
                "at 10 it is gone after a tenth. No line: no request was wanted."
            ),
            data=partial(budget.burn_numbers, several),
        )
    with right:
        chart(
            budget.used_figure(several[0], line),
            "used",
            t("Budget used"),
            help=t(
                "Bad requests so far, over all that the window's requests may have. Above 100 % "
                "the objective is missed."
            ),
            data=partial(budget.burn_numbers, several[:1]),
        )


@st.cache_data(max_entries=128, show_spinner=False)
def _burn(
    name: str, seen: Fingerprint, slo: str, objective: float, width_s: float, _one: Measured
) -> Burn:
    return _one.burn(Slo.parse(slo), objective, width_s)
