"""A panel's queries as Grafana asks them: with its variables in the place of values. Pure.

The PromQL is the catalogue's own (`dashboard.panels.queries`), asked for stand-ins that nothing
else in an expression looks like, and these replaced by Grafana's variables.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dashboard import panels, promql
from dashboard.panels import Panel, Query

_INSTANCE = "STANDINFORINSTANCES"
_WINDOW_S = 987654321
_LE = re.compile(r"^sum by \((\w+), le\) ")

Kind = Literal["line", "heatmap", "table"]


@dataclass(frozen=True)
class Target:
    """One expression with variables, what its lines are called, and how it is drawn.

    `quantile` says that it is read off a histogram: interpolated, where the lab shows bounds. A
    heatmap's bounds are labels, which no expression can scale: `scale` is what they are short of.
    """

    expression: str
    legend: str
    kind: Kind = "line"
    quantile: bool = False
    scale: float = 1.0


def targets(panel: Panel, kind: str, matchers: Mapping[str, str]) -> list[Target]:
    """What to ask for the panel; `kind` is an engine's name, or anything for the other groups.

    `matchers` are labels that hold for all of it, besides the variable `$instance` or `$gpu`.
    """
    variable = "gpu" if panel.identity == "UUID" else "instance"
    asked: promql.Matchers = {**matchers, panel.identity: [_INSTANCE]}
    found = panels.queries(panel, panels.metrics_of(panel, kind), asked, _WINDOW_S)
    return [
        Target(
            one.expression.replace(_INSTANCE, f"${variable}").replace(
                f"[{_WINDOW_S}s]", "[$__rate_interval]"
            ),
            one.legend,
            one.kind,
            one.quantile,
            one.scale,
        )
        for query in found
        for one in [_target(panel, query)]
    ]


def _target(panel: Panel, query: Query) -> Target:
    expression, legend = query.expression, _legend(query)
    if query.form == "labels":
        return Target(expression, legend, "table")
    if query.form == "buckets" and panel.reading == "heatmap":
        # One map holds all instances that are chosen.
        return Target(_LE.sub("sum by (le) ", expression), "{{le}}", "heatmap", scale=query.scale)
    if query.form == "buckets":
        return Target(
            _scaled(f"histogram_quantile($quantile, {expression})", query.scale),
            legend,
            quantile=True,
        )
    if query.form == "summary":
        return Target(_scaled(expression, query.scale), f"{legend} {{{{quantile}}}}")
    return Target(_scaled(expression, query.scale), legend)


def _scaled(expression: str, scale: float) -> str:
    return expression if scale == 1.0 else f"({expression}) * {scale:g}"


def _legend(query: Query) -> str:
    words: Sequence[str] = (
        f"{{{{{query.identity}}}}}",
        query.label,
        f"{{{{{query.by}}}}}" if query.by else "",
    )
    return " ".join(word for word in words if word)
