"""From a panel and an engine's metrics to PromQL, and why there is none. Pure."""

from collections.abc import Iterable, Sequence

from dashboard import promql
from dashboard.panels.types import Form, Panel, Part, Query
from dashboard.words import t
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
    if part.each and not metric.by:
        return None
    selected = {**matchers, **metric.selector}
    by = (panel.identity, metric.by) if part.each else (panel.identity,)

    def query(expression: str, form: Form = "line", note: str = "") -> Query:
        apart = metric.by if part.each else ""
        return Query(
            expression, form, metric.scale, part.label, metric.name, note, panel.identity, apart
        )

    def ratio(over: Metric) -> str:
        return promql.divided(
            promql.rate(metric.name, selected, window_s, by),
            promql.rate(over.name, {**matchers, **over.selector}, window_s, by[:1]),
            by,
        )

    match panel.reading, metric.kind:
        case "rate", "counter":
            note = t("counts all of an answer when it has ended") if metric.at_end else ""
            return query(promql.rate(metric.name, selected, window_s, by), note=note)
        case ("sum" | "max") as how, "gauge":
            return query(promql.gauge(metric.name, selected, by, how))
        case (("quantile" | "heatmap"), "histogram"):
            return query(promql.buckets(metric.name, selected, window_s, by), "buckets")
        case "quantile", "summary":
            return query(
                promql.gauge(metric.name, selected, [*by, "quantile"], "max"),
                "summary",
                t("quantiles computed by the engine over its own sliding window"),
            )
        case "mean", "gauge":
            return query(promql.gauge(metric.name, selected, by, "max"))
        case "mean", "histogram":
            mean = promql.ratio(
                f"{metric.name}_sum", f"{metric.name}_count", selected, window_s, by
            )
            if metric.exact_sum:
                return query(mean, note=t("a mean over the rate window"))
            return query(
                mean,
                note=t(
                    "a mean over the rate window, near the truth: the engine makes the sum up from "
                    "its buckets"
                ),
            )
        case (("mean" | "quantile"), "counter") if over is not None and not metric.at_end:
            return query(ratio(over), note=t("a mean: no distribution is exported"))
        case "share", "counter" if over is not None:
            return query(ratio(over))
        case "labels", "gauge":
            return query(promql.selector(metric.name, selected), "labels")
    return None


def absent(
    panel: Panel, title: str, elsewhere: Iterable[Metric] = (), own: Iterable[Metric] = ()
) -> str:
    """Why a panel cannot show this source. `own` are its metrics, `elsewhere` those of all.

    Where another engine exports the concept, it is named by that engine's metric.
    """
    concepts = [part.concept for part in panel.parts]
    late = next((one.name for one in own if one.concept in concepts and one.at_end), None)
    if late:
        return t(
            "{panel}: {engine} counts all of an answer in {metric} when it has ended, which over "
            "a few seconds is no mean of anything.",
            panel=t(panel.title),
            engine=title,
            metric=late,
        )
    words = " / ".join(dict.fromkeys(concept.replace("_", " ") for concept in concepts))
    names = dict.fromkeys(one.name for one in elsewhere if one.concept in concepts)
    if not names:
        return t(
            "{panel}: {engine} exports no metric of {what}.",
            panel=t(panel.title),
            engine=title,
            what=words,
        )
    return t(
        "{panel}: {engine} exports nothing like {metrics}, which others have for it.",
        panel=t(panel.title),
        engine=title,
        metrics=", ".join([*names][:3]),
    )


def silent(found: Iterable[Query], name: str) -> str:
    """What to say where a source should have series and Prometheus has none."""
    metrics = ", ".join(sorted({query.metric for query in found}))
    return t(
        "{name}: Prometheus has nothing of {metrics} in this time range.",
        name=name,
        metrics=metrics,
    )
