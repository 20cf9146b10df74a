"""Memory: what engines hold, of what it is made, and whether it was foreseen."""

import time

import streamlit as st

from dashboard import anew, chosen_runs, no_prometheus, promql, runs, sources, text
from dashboard.live import asking as panel_asking
from dashboard.live.chosen import left_out
from dashboard.memory import asking, held_charts, kv_charts, observed, panel_charts
from dashboard.memory.observed import KvActivity, Observed
from dashboard.prometheus import Failure, address
from dashboard.runs import Fingerprint
from dashboard.sources import Source
from dashboard.words import t
from measure.errors import MeasureError
from measure.store import open_run
from servers.catalog import ENGINES

SPANS_S = {"1 min": 60, "5 min": 300, "15 min": 900, "1 h": 3600, "6 h": 21600}
REFRESH_S = 5.0
_SKELETON_PX = 330
NOW, FINISHED = "now", "runs"


def page() -> None:
    """What is held now, or was in runs."""
    st.session_state.setdefault("memory_of", st.query_params.get("of", NOW))
    if st.session_state["memory_of"] not in (NOW, FINISHED):
        st.session_state["memory_of"] = NOW
    titles = {NOW: t("Instances now"), FINISHED: t("Runs")}
    left, right = st.columns([3, 5], vertical_alignment="center")
    with left:
        of = st.segmented_control(
            t("Of what"),
            [NOW, FINISHED],
            format_func=lambda one: titles[one],
            required=True,
            key="memory_of",
            label_visibility="collapsed",
            persist_state="session",
        )
    st.query_params["of"] = str(of)
    if of == FINISHED:
        _runs()
        return
    with right:
        span_name = st.segmented_control(
            t("Time range"),
            list(SPANS_S),
            default="15 min",
            required=True,
            key="range",
            bind="query-params",
            label_visibility="collapsed",
        )
    length_s = SPANS_S[str(span_name)]
    step_s = promql.Span.ending(0.0, length_s).step_s
    anew.drawn(_now, max(REFRESH_S, step_s))(length_s)


def _now(length_s: int) -> None:
    url, said_by = address()
    span = promql.Span.ending(time.time(), length_s)
    with st.skeleton(height=_SKELETON_PX):
        found = sources.discover(url, span)
    if isinstance(found, Failure):
        _no_prometheus(found, said_by)
        return
    engines = [source for source in found if source.is_engine]
    if not engines:
        st.subheader(t("No engine runs"), anchor=False)
        st.markdown(t("Prometheus answers, and has seen no engine in this time range. Start one:"))
        st.code(f"lab up {sources.MODEL_SERVERS[0]}", language="bash")
        return
    chosen = _choose(engines)
    gpus = [source for source in found if source.kind == sources.GPU]
    with st.skeleton(height=_SKELETON_PX):
        several = asking.read(url, span, chosen, asking.plans())
        readings = panel_asking.read(url, span, [*chosen, *gpus], panel_charts.PANELS)
    if isinstance(several, Failure):
        _no_prometheus(several, said_by)
        return
    if isinstance(readings, Failure):
        _no_prometheus(readings, said_by)
        return
    seen = [one for one in several if one.held[0].size]
    _where(bool(gpus), seen)
    queries = {source.name: asking.queries(source).shown for source in chosen}
    ended = [source.name for source in chosen if source.state == "ended"]
    held_charts.show(seen, (span.start_s, span.end_s), queries, ended)
    for name in (one.name for one in several if not one.held[0].size):
        st.caption(
            t(
                "{name}: nothing is known of its memory. The lab's exporter tells it: "
                "`lab up exporter`.",
                name=text.markdown(name),
            )
        )
    panel_charts.show(readings, [*chosen, *gpus], span)


def _choose(engines: list[Source]) -> list[Source]:
    """The instances the reader chose; all at first. The address names them."""
    names = [source.name for source in engines]
    if "memory_instances" not in st.session_state:
        asked = runs.names_in(st.query_params.get_all("instances"), set(names))
        st.session_state["memory_instances"] = [name for name in asked if name in names]
    kept = [name for name in st.session_state["memory_instances"] if name in names]
    st.session_state["memory_instances"] = kept
    picked = st.multiselect(
        t("Instances"),
        names,
        key="memory_instances",
        placeholder=t("All instances"),
        label_visibility="collapsed",
    )
    if picked:
        st.query_params["instances"] = runs.to_query(picked)
    else:
        st.query_params.pop("instances", None)
    shown = [source for source in engines if source.name in picked] or sources.few(engines)
    left_out(engines, shown)
    return shown


def _where(has_gpu: bool, seen: list[Observed]) -> None:
    """Say which memory this is."""
    if any(one.where == "gpu" for one in seen):
        return
    if has_gpu:
        st.info(
            t(
                "The GPU's driver names none of these instances' processes (in a container it "
                "often names none), so what you see is the memory of their processes on the "
                "machine. Below is the GPU as a whole."
            )
        )
        return
    st.info(
        t(
            "There is no GPU here. What you see is the memory of the engines' processes: weights "
            "and KV cache lie in it. With a GPU the same figures show its memory."
        ),
        icon=":material/memory:",
    )


def _no_gpu_in_runs(several: list[Observed]) -> None:
    without = [one.name for one in several if one.where != "gpu"]
    if without:
        st.info(
            t(
                "No GPU memory was measured with {runs}. What you see of it is the memory of the "
                "engine's processes: without a GPU weights and KV cache lie in it.",
                runs=text.markdown(", ".join(without)),
            ),
            icon=":material/memory:",
        )


def _no_prometheus(failure: Failure, said_by: str) -> None:
    no_prometheus.show(failure, said_by)
    st.caption(t("Finished runs carry their memory with them: choose Runs above."))


@st.cache_resource(max_entries=32, show_spinner=False)
def _of_run(path: str, seen: Fingerprint) -> tuple[Observed, KvActivity] | str | None:
    """A run's memory and KV cache; why it cannot be read; `None` if nothing was kept."""
    try:
        run = open_run(runs.root() / path)
        found = observed.of_run(run, ENGINES)
        table = run.server_metrics
    except (MeasureError, OSError) as error:
        return str(error)
    if found is None or table is None:
        return None
    engine = ENGINES.get(str(run.manifest["engine"].get("name")))
    return found, observed.kv_activity(table, engine.metrics if engine else ())


def _runs() -> None:
    infos = runs.listed(runs.root())
    if not any(info.problem is None for info in infos):
        st.subheader(t("No run yet"), anchor=False)
        st.markdown(t("This page looks in {folder}. Make one:", folder=text.markdown(runs.root())))
        st.code(f"lab run {sources.MODEL_SERVERS[0]} --users 4", language="bash")
        return
    chosen = chosen_runs.choose(infos, first=1)
    if not chosen:
        st.info(t("Choose a run above, or several."))
        return
    running = {info.run_id for info in infos if info.running}
    kept: dict[str, tuple[Observed, KvActivity]] = {}
    with st.skeleton(height=_SKELETON_PX):
        loaded = {name: _of_run(name, runs.fingerprint(runs.root() / name)) for name in chosen}
    for name, found in loaded.items():
        if isinstance(found, str):
            st.error(f"{text.markdown(name)}: {text.markdown(found, 600)}")
        elif found is None or not found[0].held[0].size:
            shown = text.markdown(name)
            st.caption(
                t("{run}: its memory is written when the run ends.", run=shown)
                if name in running
                else t("{run}: no memory was recorded with this run.", run=shown)
            )
        else:
            kept[name] = found
    several = [one for one, _ in kept.values()]
    if several:
        _no_gpu_in_runs(several)
    held_charts.show(several, None, {})
    kv_charts.show({name: activity for name, (_, activity) in kept.items()}, list(chosen))


page()
