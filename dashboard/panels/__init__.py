"""The catalogue of live panels: what each shows, in which unit, and the PromQL that reads it.

A panel names *concepts* (`servers.contract.Metric.concept`), never an engine's own metric: the
engine's catalogue says which metric carries a concept, of what kind and in what unit. Pure.
"""

from dashboard.panels.client import CLIENT, CLIENT_PANELS
from dashboard.panels.engine import ENGINE_PANELS
from dashboard.panels.gpu import EXPORTED, GPU_PANELS, PRESENT
from dashboard.panels.process import PROCESS, PROCESS_PANELS
from dashboard.panels.queries import absent, queries, silent
from dashboard.panels.types import Form, Group, Panel, Part, Query

__all__ = [
    "CLIENT",
    "EXPORTED",
    "PANELS",
    "PRESENT",
    "PROCESS",
    "Form",
    "Group",
    "Panel",
    "Part",
    "Query",
    "absent",
    "group",
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
