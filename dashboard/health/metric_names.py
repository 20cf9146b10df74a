"""Which metrics an engine should have and has not, and which it has and nobody knows. Pure."""

import difflib
import re
from collections.abc import Collection
from dataclasses import dataclass

from servers.contract import Engine, Metric

_SUFFIX = re.compile(r"_(bucket|sum|count|created|total|info)$")
_OF_EVERY_PROGRAM = re.compile(
    r"(up|scrape_.*|python_.*|process_.*|go_.*|promhttp_.*|ALERTS.*|instance:.*)"
)


@dataclass(frozen=True)
class Missing:
    """A metric that a panel asks for and that is not there.

    `seen` says that Prometheus still has it from earlier; `like` is one that is there, is in no
    catalogue and is called nearly the same: an engine that renamed it.
    """

    metric: Metric
    seen: bool
    like: str


def series_name(metric: Metric) -> str:
    """The name that a query would ask for."""
    return f"{metric.name}_bucket" if metric.kind == "histogram" else metric.name


def missing(engine: Engine, now: Collection[str], earlier: Collection[str] = ()) -> list[Missing]:
    """What the catalogue promises and `now` has not.

    Where a concept has several metrics, one of which an instance exports, that one is enough.
    """
    there = {m.concept for m in engine.metrics if series_name(m) in now}
    strange = unknown(engine, now)
    found: dict[str, Missing] = {}
    for metric in engine.metrics:
        if metric.concept not in there and series_name(metric) not in now:
            close = difflib.get_close_matches(base(metric.name), strange, n=1, cutoff=0.8)
            seen = series_name(metric) in earlier
            found.setdefault(metric.name, Missing(metric, seen, close[0] if close else ""))
    return list(found.values())


def unknown(engine: Engine, now: Collection[str]) -> list[str]:
    """Families the engine exports that are in no catalogue, without those of any program."""
    known = {base(metric.name) for metric in engine.metrics}
    families = {base(name) for name in now if not _OF_EVERY_PROGRAM.fullmatch(name)}
    return sorted(families - known)


def base(name: str) -> str:
    """A family's name: without what its kind of metric appends."""
    while (shorter := _SUFFIX.sub("", name)) != name:
        name = shorter
    return name
