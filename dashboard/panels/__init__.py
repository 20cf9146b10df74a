"""The catalogue of live panels: what each shows, in which unit, and the PromQL that reads it.

A panel names *concepts* (`servers.contract.Metric.concept`), never an engine's own metric: the
engine's catalogue says which metric carries a concept, of what kind and in what unit. Pure.
"""

from collections.abc import Sequence

from dashboard.panels.client import CLIENT, CLIENT_PANELS
from dashboard.panels.engine import ENGINE_PANELS
from dashboard.panels.gpu import EXPORTED, GPU_PANELS, PRESENT
from dashboard.panels.process import PROCESS, PROCESS_PANELS, SCRAPE
from dashboard.panels.queries import absent, queries, silent
from dashboard.panels.types import Form, Group, Panel, Part, Query, Topic
from servers.catalog import ENGINES
from servers.contract import Metric

__all__ = [
    "CLIENT",
    "ENGINE_METRICS",
    "EXPORTED",
    "PANELS",
    "PRESENT",
    "PROCESS",
    "SCRAPE",
    "Form",
    "Group",
    "Panel",
    "Part",
    "Query",
    "Topic",
    "absent",
    "group",
    "metrics_of",
    "panel",
    "queries",
    "silent",
]

PANELS = (*ENGINE_PANELS, *CLIENT_PANELS, *PROCESS_PANELS, *GPU_PANELS)


def group(name: Group) -> tuple[Panel, ...]:
    """The panels of one group, in their order on the page."""
    return tuple(panel for panel in PANELS if panel.group == name)


def panel(key: str) -> Panel:
    """The panel of that key. Raises `KeyError` for one that is not in the catalogue."""
    found = next((panel for panel in PANELS if panel.key == key), None)
    if found is None:
        raise KeyError(f"no panel is called {key!r}")
    return found


def metrics_of(panel: Panel, kind: str) -> Sequence[Metric]:
    """The metrics that a panel may draw from for one kind of source: an engine, by its name."""
    if panel.group == "client":
        return CLIENT
    if panel.group == "process":
        return (*PROCESS, *SCRAPE)
    if panel.group == "gpu":
        return EXPORTED
    return ENGINES[kind].metrics if kind in ENGINES else ()


ENGINE_METRICS = tuple(metric for engine in ENGINES.values() for metric in engine.metrics)
"""What any engine exports: where one lacks a metric, another may have a name for it."""
