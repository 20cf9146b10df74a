"""From a panel and an engine's metrics to PromQL. Pure."""

from collections.abc import Iterable, Sequence

from dashboard import promql
from dashboard.panels.types import Form, Panel, Part, Query
from servers.contract import Metric


def queries(
    panel: Panel, metrics: Sequence[Metric], matchers: promql.Matchers, window_s: int
) -> tuple[Query, ...]:
    """What to ask for the instances that `matchers` select; empty if nothing is exported."""
    found = []
    for part in panel.parts:
        for metric in metrics:
            if metric.concept == part.concept:
                over = next((m for m in metrics if m.concept == part.over), None)
                query = _query(panel, part, metric, over, matchers, window_s)
                if query is not None:
                    found.append(query)
    return tuple(found)


def _query(
    panel: Panel,
    part: Part,
    metric: Metric,
    over: Metric | None,
    matchers: promql.Matchers,
    window_s: int,
) -> Query | None:
    selected = {**matchers, **metric.selector}
    by = (panel.identity,)

    def query(expression: str, form: Form = "line", note: str = "") -> Query:
        return Query(expression, form, metric.scale, part.label, metric.name, note, panel.identity)

    match panel.reading, metric.kind:
        case "rate", "counter":
            return query(promql.rate(metric.name, selected, window_s, by))
        case ("sum" | "max") as how, "gauge":
            return query(promql.gauge(metric.name, selected, by, how))
        case "quantile", "histogram":
            return query(promql.buckets(metric.name, selected, window_s, by), "buckets")
        case "quantile", "summary":
            return query(
                promql.gauge(metric.name, selected, [*by, "quantile"], "max"),
                "summary",
                "quantiles computed by the engine over its own sliding window",
            )
        case "mean", "gauge":
            return query(promql.gauge(metric.name, selected, by, "max"))
        case "mean", "histogram":
            ratio = promql.ratio(
                f"{metric.name}_sum", f"{metric.name}_count", selected, window_s, by
            )
            return query(ratio, note="a mean over the rate window")
        case (("mean" | "quantile"), "counter") if over is not None:
            return query(
                promql.ratio(metric.name, over.name, selected, window_s, by),
                note="a mean: no distribution is exported",
            )
    return None


def absent(panel: Panel, title: str) -> str:
    """Why a panel cannot show this source."""
    wanted = " or ".join(part.concept.replace("_", " ") for part in panel.parts)
    return f"{title} exports no metric of {wanted}."


def silent(found: Iterable[Query], name: str) -> str:
    """What to say where a source should have series and Prometheus has none."""
    metrics = ", ".join(sorted({query.metric for query in found}))
    return f"{name}: Prometheus has nothing of {metrics} in this time range."
