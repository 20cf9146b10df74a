"""Health: is what the other pages show whole and fresh, and what to do where it is not."""

import shutil
import time
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import anew, no_prometheus, runs, sources
from dashboard.health import asking, checks, tables
from dashboard.health.checks import Check
from dashboard.prometheus import Failure, address
from dashboard.words import t
from measure.manifest import git_commit
from measure.store import RunInfo
from servers import instances

REFRESH_S = 5.0
_SKELETON_PX = 300


def page() -> None:
    """A fragment that looks again by itself unless paused."""
    moves = st.toggle(
        t("Follow"),
        value=True,
        key="follow",
        bind="query-params",
        help=t("Looks again every few seconds."),
    )
    anew.drawn(show, REFRESH_S if moves else None)()


def show() -> None:
    """Everything, from Prometheus and from this machine."""
    url, said_by = address()
    with st.skeleton(height=_SKELETON_PX):
        found = asking.look(url)
    infos = runs.listed(runs.root())
    local = checks.of_runs(infos, _free_bytes(runs.root()), str(runs.root()))
    if isinstance(found, Failure):
        lost = Check("Prometheus", "bad", no_prometheus.title(found), "")
        _checks([lost, *local])
        no_prometheus.show(found, said_by)
        _versions(None)
        _damaged(infos)
        return
    _checks([*checks.of_prometheus(found), *local])
    st.subheader("Prometheus", anchor=False)
    facts = tables.server(found, time.time())
    for column, (label, value) in zip(st.columns(len(facts)), facts.items(), strict=True):
        column.metric(label, value)
    st.caption(t("At {url}. The address comes from {source}.", url=url, source=said_by))
    _table(t("Targets"), tables.targets(found.targets, _here()), t("Prometheus scrapes nothing."))
    _table(
        t("Metrics that are not there"),
        tables.missing(found),
        t("Nothing of the catalogue is missing, of what is scraped now."),
    )
    _table(t("Rules"), tables.rules(found.groups), t("Prometheus has no rules."))
    strange = tables.unknown(found)
    if not strange.empty:
        with st.expander(t("Metrics that no panel knows ({count})", count=len(strange))):
            st.dataframe(strange, hide_index=True)
    _versions(found)
    _damaged(infos)


def _here() -> dict[str, str]:
    return {one.name: sources.state_here(one) for one in instances.all_instances()}


def _checks(several: list[Check]) -> None:
    st.table(tables.checks(several), border="horizontal", hide_index=True)


def _versions(found: asking.Facts | None) -> None:
    running = [one for one in instances.all_instances() if instances.alive(one)]
    _table(t("Versions"), tables.versions(found, running, _commit()), "")


def _damaged(infos: list[RunInfo]) -> None:
    frame = tables.damaged(infos)
    if not frame.empty:
        _table(t("Runs that cannot be read"), frame, "")


def _table(title: str, frame: pd.DataFrame, empty: str) -> None:
    st.subheader(title, anchor=False)
    if frame.empty:
        st.caption(empty)
    else:
        st.table(frame, border="horizontal", hide_index=True)


@st.cache_data(ttl=60, show_spinner=False)
def _commit() -> str | None:
    return git_commit()


def _free_bytes(root: Path) -> float | None:
    """Room on the disk of the runs, or of where they will be."""
    there = next((one for one in (root, *root.parents) if one.is_dir()), None)
    return float(shutil.disk_usage(there).free) if there else None


page()
