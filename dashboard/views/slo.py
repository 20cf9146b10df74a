"""SLO: who keeps to it, up to which load, and how fast the error budget burns."""

from collections.abc import Sequence

import streamlit as st

from dashboard import anew, chosen_runs, run_pages, runs, text
from dashboard.runs import Fingerprint
from dashboard.slo import budget_charts, ladder_charts, measured, remarks
from dashboard.slo.measured import Measured
from dashboard.words import t
from measure.attainment import Attainment
from measure.errors import MeasureError
from measure.slo import Slo
from measure.store import RunInfo
from servers.catalog import ENGINES

REFRESH_S = 3.0
MOST_CHOSEN, MOST_RUNS = 40, 80
_SKELETON_PX = 300
OBJECTIVES = {"90": 0.9, "95": 0.95, "99": 0.99, "99.9": 0.999}
EXAMPLE, EXAMPLE_WHOLE = "ttft=0.5,itl=50ms", "e2e=200ms"
_TO_MAKE = """lab run {first} --rate 2 --arrival poisson --slo ttft=0.5,itl=50ms
lab run {first} --rate 8 --arrival poisson --slo ttft=0.5,itl=50ms"""


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
    run_pages.remarks(remarks.remarks(found, held, slos))
    if not any(one.finished for _, one in held):
        st.info(
            t(
                "No request in the window of these runs is finished, so there is nothing to hold "
                "against the SLO."
            )
        )
        return
    dark = st.context.theme.type == "dark"
    ladder_charts.show(held, objective, dark)
    budget_charts.missed(held, slos, dark)
    budget_charts.burnt(held, slos, objective, dark)


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


def _seen(name: str) -> Fingerprint:
    return runs.fingerprint(runs.root() / name)


@st.cache_resource(max_entries=MOST_RUNS, show_spinner=False)
def _read(name: str, seen: Fingerprint) -> Measured | str:
    return measured.read(runs.root() / name)


@st.cache_data(max_entries=512, show_spinner=False)
def _held(name: str, seen: Fingerprint, slo: str, _one: Measured) -> Attainment:
    return _one.held_against(Slo.parse(slo))


page()
