"""SLO: who keeps to it, up to which load, and how fast the error budget burns."""

from collections.abc import Sequence
from functools import partial

import streamlit as st

from dashboard import anew, chosen_runs, run_pages, runs, text, theme, units
from dashboard.chart import chart
from dashboard.runs import Fingerprint
from dashboard.slo import budget, ladder, ladder_figures, measured
from dashboard.slo.measured import Measured
from dashboard.words import t
from measure.attainment import Attainment, Burn
from measure.errors import MeasureError
from measure.slo import Slo
from measure.store import RunInfo
from servers.catalog import ENGINES

REFRESH_S = 3.0
MOST_CHOSEN, MOST_RUNS, MOST_BARS = 40, 80, 12
TABLE_HEIGHT = 420
_SKELETON_PX = 300
OBJECTIVES = {"90": 0.9, "95": 0.95, "99": 0.99, "99.9": 0.999}
EXAMPLE, EXAMPLE_WHOLE = "ttft=0.5,itl=50ms", "e2e=200ms"
_TO_MAKE = """lab run {first} --rate 2 --arrival poisson --slo ttft=0.5,itl=50ms
lab run {first} --rate 8 --arrival poisson --slo ttft=0.5,itl=50ms"""

Held = tuple[Measured, Attainment]


def page() -> None:
    """The choice of runs and of the SLO, then who keeps to it."""
    root = runs.root()
    infos = runs.listed(root)
    readable = [info for info in infos if info.problem is None]
    if not readable:
        first = next((name for name, one in ENGINES.items() if one.job == "engine"), "ENGINE")
        run_pages.no_runs(str(root), _TO_MAKE.format(first=first))
        run_pages.damaged(infos)
        return
    chosen = chosen_runs.choose(infos, most=MOST_CHOSEN)
    left, middle, right = st.columns([2.2, 2, 1.3], vertical_alignment="bottom")
    with left:
        names = _with_groups(infos, chosen)
    with middle:
        written = st.text_input(
            t("SLO"),
            key="slo",
            bind="query-params",
            persist_state="session",
            placeholder=t("each run's own; or {example}", example=EXAMPLE),
            help=t(
                "The most a request may take: ttft, itl, tpot, e2e, in seconds or with ms, "
                "separated by commas. Empty: what each run was asked to keep to."
            ),
        )
    with right:
        objective = OBJECTIVES[_objective()]
    running = any(info.running for info in readable if info.run_id in names)
    body = anew.drawn(show, REFRESH_S if running else None)
    body(tuple(names), str(written or ""), objective, running)
    run_pages.damaged(infos)


def _with_groups(infos: list[RunInfo], chosen: Sequence[str]) -> list[str]:
    """The chosen runs, and all of the groups that the reader asks for."""
    groups = {text.plain(name): of for name, of in measured.groups(infos).items()}
    asked = st.multiselect(
        t("And all runs of"),
        list(groups),
        key="group",
        bind="query-params",
        persist_state="session",
        placeholder=t("engine and scenario"),
    )
    names = list(dict.fromkeys([*chosen, *(name for one in asked for name in groups[one])]))
    if len(names) > MOST_RUNS:
        st.caption(
            t("The first {most} of {count} runs are shown.", most=MOST_RUNS, count=len(names))
        )
    return names[:MOST_RUNS]


def _objective() -> str:
    return str(
        st.segmented_control(
            t("Objective, % of requests"),
            list(OBJECTIVES),
            default="99",
            required=True,
            key="objective",
            bind="query-params",
            persist_state="session",
        )
    )


def show(names: tuple[str, ...], written: str, objective: float, was_running: bool) -> None:
    """The runs. While one of them goes on, this is done again every few seconds."""
    if not names:
        st.info(t("Choose a run above, or several."), icon=":material/target:")
        return
    with st.skeleton(height=_SKELETON_PX):
        opened = {name: _read(name, _seen(name)) for name in names}
    for name, one in opened.items():
        if isinstance(one, str):
            st.error(f"{text.markdown(name)}: {text.markdown(one, 600)}")
    found = [one for one in opened.values() if isinstance(one, Measured)]
    if was_running and not any(one.running for one in found):
        st.rerun(scope="app")
    slos = _slos(found, written)
    with st.skeleton(height=_SKELETON_PX):
        held = [
            (one, _held(one.run_id, _seen(one.run_id), str(slos[one.run_id]), one))
            for one in found
            if slos[one.run_id].asked
        ]
    if not held:
        _no_slo(found)
        return
    _remarks(found, held, slos)
    if not any(one.finished for _, one in held):
        st.info(
            t(
                "No request in the window of these runs is finished, so there is nothing to hold "
                "against the SLO."
            )
        )
        return
    dark = st.context.theme.type == "dark"
    _ladders(held, objective, dark)
    _runs(held, slos, dark)
    _budget(held, slos, objective, dark)


def _slos(found: Sequence[Measured], written: str) -> dict[str, Slo]:
    """What each run is held against: the reader's SLO, else its own."""
    own = {one.run_id: one.own_slo for one in found}
    if not written.strip():
        return own
    try:
        asked = Slo.parse(written)
    except MeasureError as error:
        st.error(text.markdown(error, 600))
        st.caption(t("Until then each run is held against its own SLO."))
        return own
    return dict.fromkeys(own, asked)


def _no_slo(found: Sequence[Measured]) -> None:
    if not found:
        return
    example = EXAMPLE_WHOLE if all(one.whole_answers for one in found) else EXAMPLE
    st.info(
        t(
            "These runs were asked to keep to nothing. Write an SLO above, or give one to lab run "
            "with --slo."
        ),
        icon=":material/target:",
    )
    st.button(
        t("Hold them against {example}", example=example),
        key="example",
        on_click=_write,
        args=(example,),
    )


def _write(example: str) -> None:
    st.session_state["slo"] = example


def _remarks(found: Sequence[Measured], held: Sequence[Held], slos: dict[str, Slo]) -> None:
    remarks = []
    without = [one.run_id for one in found if not slos[one.run_id].asked]
    if without:
        remarks.append(
            t("Left out, for they were asked to keep to nothing: {runs}.", runs=_several(without))
        )
    if len({str(slos[one.run_id]) for one, _ in held}) > 1:
        remarks.append(t("The runs are held against different SLOs: their numbers do not compare."))
    invalid = [one.run_id for one, _ in held if one.verdict == "invalid" and not one.running]
    if invalid:
        remarks.append(
            t(
                "The client of {runs} is invalid: shown as open crosses, in no line and in no "
                "conclusion.",
                runs=_several(invalid),
            )
        )
    cut = [one.run_id for one, _ in held if one.many_cut_off]
    if cut:
        remarks.append(
            t(
                "In {runs} many requests were cut off when the load ended. They are neither good "
                "nor bad here, and most had waited long: the attainment was lower than it looks.",
                runs=_several(cut),
            )
        )
    undefined = [one.run_id for one, held_ in held if held_.undefined]
    if undefined:
        remarks.append(
            t(
                "In {runs} answers have no ITL or TPOT (one token, or one piece) and so miss an "
                "SLO on it.",
                runs=_several(undefined),
            )
        )
    run_pages.remarks(remarks)


def _several(names: Sequence[str], most: int = 4) -> str:
    few = ", ".join(names[:most])
    if len(names) <= most:
        return few
    return t("{few} and {count} more", few=few, count=len(names) - most)


def _ladders(held: Sequence[Held], objective: float, dark: bool) -> None:
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


def _runs(held: Sequence[Held], slos: dict[str, Slo], dark: bool) -> None:
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


def _budget(held: Sequence[Held], slos: dict[str, Slo], objective: float, dark: bool) -> None:
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
    slo = slos[one.run_id]
    several = [
        _burn(one.run_id, _seen(one.run_id), str(slo), objective, width_s, one)
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


def _seen(name: str) -> Fingerprint:
    return runs.fingerprint(runs.root() / name)


@st.cache_resource(max_entries=MOST_RUNS, show_spinner=False)
def _read(name: str, seen: Fingerprint) -> Measured | str:
    return measured.read(runs.root() / name)


@st.cache_data(max_entries=512, show_spinner=False)
def _held(name: str, seen: Fingerprint, slo: str, _one: Measured) -> Attainment:
    return _one.held_against(Slo.parse(slo))


@st.cache_data(max_entries=128, show_spinner=False)
def _burn(
    name: str, seen: Fingerprint, slo: str, objective: float, width_s: float, _one: Measured
) -> Burn:
    return _one.burn(Slo.parse(slo), objective, width_s)


page()
