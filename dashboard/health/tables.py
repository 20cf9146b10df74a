"""The tables of the Health page, as data frames. Pure.

Their cells are Markdown, as `st.table` reads it: what others wrote is escaped.
"""

import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

import pandas as pd

from dashboard import sources, text, units
from dashboard.health import metric_names
from dashboard.health.checks import Check
from dashboard.health.facts import Facts, Group, Target
from dashboard.words import t
from measure.store import RunInfo
from servers.catalog import ENGINES
from servers.instances import Instance

_MARKS = {"well": "✓", "look": "△", "bad": "✗"}


def checks(several: Sequence[Check]) -> pd.DataFrame:
    """A line a check: a mark and its word, so that no colour is needed."""
    words = {"well": t("well"), "look": t("look"), "bad": t("not well")}
    return pd.DataFrame(
        [
            {
                "": f"{_MARKS[one.state]} {words[one.state]}",
                t("What"): one.what,
                t("Found"): text.markdown(one.found),
                t("What to do"): one.advice,
            }
            for one in several
        ]
    )


def _state(one: Target, here: Mapping[str, str]) -> str:
    state = sources.state_now(here.get(one.instance), one.up, is_load=one.job == "client")
    return t(state)


def targets(several: Sequence[Target], here: Mapping[str, str]) -> pd.DataFrame:
    """What is scraped, and how that goes. `here` is how this machine's instances are, by name."""
    return pd.DataFrame(
        [
            {
                t("Instance"): text.markdown(one.instance),
                t("Job"): text.markdown(one.job),
                t("State"): _state(one, here),
                t("Age of the newest sample"): units.show(one.age_s, "s"),
                t("Scrape took"): units.show(one.scrape_s, "s"),
                t("Last error"): text.markdown(one.error),
                t("Address"): text.markdown(one.url),
            }
            for one in several
        ]
    )  # fmt: skip


def missing(facts: Facts) -> pd.DataFrame:
    """Every metric of a catalogue that its engine's instance has not, by name."""
    rows = []
    for instance, engine in sorted(facts.engines.items()):
        if engine not in ENGINES:
            continue
        earlier = facts.earlier.get(instance, frozenset())
        for one in metric_names.missing(ENGINES[engine], facts.names[instance], earlier):
            state = t("there was one earlier") if one.seen else t("never seen")
            if one.like:
                state = t("is it called {name} now?", name=text.markdown(one.like))
            rows.append(
                {
                    t("Instance"): text.markdown(instance),
                    t("Metric"): text.markdown(one.metric.name),
                    t("Stands for"): text.markdown(one.metric.concept.replace("_", " ")),
                    t("State"): state,
                    t("What it is"): text.markdown(one.metric.help, 600),
                }
            )
    return pd.DataFrame(rows)


def unknown(facts: Facts) -> pd.DataFrame:
    """Metrics that the engines export and no panel knows, in plain text."""
    rows = [
        {t("Instance"): text.plain(instance), t("Metric"): text.plain(name)}
        for instance, engine in sorted(facts.engines.items())
        if engine in ENGINES
        for name in metric_names.unknown(ENGINES[engine], facts.names[instance])
    ]
    return pd.DataFrame(rows)


def rules(groups: Sequence[Group]) -> pd.DataFrame:
    """The rule groups, and under each the rules that fail."""
    rows = []
    for group in groups:
        rows.append(
            {
                t("Group"): text.markdown(group.name),
                t("Rules"): str(group.rules),
                t("Evaluated in"): units.seconds(group.took_s),
                t("Every"): units.seconds(group.every_s),
                t("Fault"): "",
            }
        )
        rows += [
            {t("Group"): text.markdown(group.name), t("Rules"): text.markdown(bad.name),
             t("Evaluated in"): "", t("Every"): "", t("Fault"): text.markdown(bad.error)}
            for bad in group.bad
        ]  # fmt: skip
    return pd.DataFrame(rows)


def damaged(infos: Sequence[RunInfo]) -> pd.DataFrame:
    """The runs that cannot be read, and why."""
    return pd.DataFrame(
        [
            {t("Run"): text.markdown(info.run_id), t("Why"): text.markdown(info.problem, 600)}
            for info in infos
            if info.problem
        ]
    )


def versions(
    facts: Facts | None, instances: Sequence[Instance], commit: str | None
) -> pd.DataFrame:
    """What runs, in which version."""
    rows = [(t("this lab"), commit or t("unknown"))]
    rows.append(("Python", sys.version.split()[0]))
    rows += [(name, _installed(name)) for name in ("streamlit", "plotly", "pyarrow", "locust")]
    if facts:
        rows.append(("Prometheus", facts.server.version))
    rows += [
        (f"{one.name} ({one.title or one.engine})", one.version or t("unknown"))
        for one in instances
    ]
    return pd.DataFrame(
        [
            {t("What"): text.markdown(what), t("Version"): text.markdown(which)}
            for what, which in rows
        ]
    )


def server(facts: Facts, now_s: float) -> Mapping[str, str]:
    """Prometheus itself: since when, how much it holds."""
    one = facts.server
    return {
        t("Running for"): units.seconds(max(0.0, now_s - one.started_s)),
        t("Series in memory"): f"{one.series:,}",
        t("Blocks on disk"): units.show(one.bytes, "bytes"),
        t("Kept for"): one.retention,
    }


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return t("not installed")
