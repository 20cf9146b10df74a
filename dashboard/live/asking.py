"""Asking Prometheus for panels: which queries, all at once, and what their answers say."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from dashboard import panels, prometheus, promql
from dashboard.live.readings import PanelReadings, Reading, empty
from dashboard.panels import Panel, Query
from dashboard.prometheus import Failure, Series
from dashboard.sources import GPU, LOAD_TEST, Source
from dashboard.words import t

_AT_A_TIME = 8


def read(
    url: str, span: promql.Span, sources: Sequence[Source], wanted: Sequence[Panel] = panels.PANELS
) -> list[PanelReadings] | Failure:
    """All panels for these sources. One failing query fails the page: they share one server."""
    plan = {panel.key: _plan(panel, sources, span) for panel in wanted}
    expressions = sorted(
        {query.expression for parts in plan.values() for _, found in parts for query in found}
    )
    answers = _answers(url, expressions, span)
    if isinstance(answers, Failure):
        return answers
    return [_readings(panel, plan[panel.key], answers) for panel in wanted]


def _answers(
    url: str, expressions: Sequence[str], span: promql.Span
) -> dict[str, tuple[Series, ...]] | Failure:
    """Each expression's series, asked for several at a time: a question costs more than its sum."""
    chunks = [expressions[i : i + _AT_A_TIME] for i in range(0, len(expressions), _AT_A_TIME)]
    with ThreadPoolExecutor(max_workers=4) as pool:
        replies = list(
            pool.map(lambda few: prometheus.query_range(url, promql.together(few), span), chunks)
        )
    answers: dict[str, tuple[Series, ...]] = {}
    for few, reply in zip(chunks, replies, strict=True):
        if isinstance(reply, Failure):
            return reply
        for i, expression in enumerate(few):
            mine = (series for series in reply if series.labels.get(promql.ASKED) == str(i))
            answers[expression] = tuple(mine)
    return answers


def _plan(
    panel: Panel, sources: Sequence[Source], span: promql.Span
) -> list[tuple[tuple[Source, ...], tuple[Query, ...]]]:
    """The panel's queries for each kind of source it speaks of."""
    kind_of = {"client": LOAD_TEST, "gpu": GPU}
    concerned = [
        source
        for source in sources
        if (source.kind == kind_of[panel.group] if panel.group in kind_of else source.is_engine)
    ]
    plan = []
    # Only engines differ in what they export: one query tells the processes of all.
    apart = {source.name: source.kind if panel.group == "engine" else "" for source in concerned}
    for kind in dict.fromkeys(apart.values()):
        of_kind = tuple(source for source in concerned if apart[source.name] == kind)
        matchers = {panel.identity: [source.series for source in of_kind]}
        found = panels.queries(panel, panels.metrics_of(panel, kind), matchers, span.rate_window_s)
        plan.append((of_kind, found))
    return plan


def title_of(source: Source) -> str:
    """What people call an engine (or a load test); of another's instance only its kind is known."""
    return source.title or source.kind


def _readings(
    panel: Panel,
    plan: Sequence[tuple[tuple[Source, ...], tuple[Query, ...]]],
    answers: Mapping[str, tuple[Series, ...]],
) -> PanelReadings:
    by_source: dict[str, tuple[Reading, ...]] = {}
    answered: set[str] = set()
    notes = []
    for sources, found in plan:
        titles = dict.fromkeys(title_of(source) for source in sources)
        if not found:
            own = panels.metrics_of(panel, sources[0].kind)
            notes += [panels.absent(panel, title, panels.ENGINE_METRICS, own) for title in titles]
            continue
        for query in found:
            answer = answers[query.expression]
            names = {source.series: source.name for source in sources}
            for series, several in interpret(query, answer).items():
                if series not in names:
                    continue  # Nobody asked for it: what answers is no Prometheus, or not ours.
                name = names[series]
                answered.add(name)
                if shown := _shown(panel, query, several):
                    by_source[name] = (*by_source.get(name, ()), *shown)
        missing = [source for source in sources if source.name not in answered]
        notes += [panels.silent(found, source.name) for source in missing]
        drawn = {reading.note for source in sources for reading in by_source.get(source.name, ())}
        notes += [f"{title}: {note}." for title in titles for note in sorted(drawn - {""})]
    queries = [query for _, found in plan for query in found]
    asked = tuple(query.expression for query in queries)
    scales = {
        query.expression: query.scale
        for query in queries
        if panel.reading == "quantile" and query.form == "buckets"
    }
    return PanelReadings(panel, by_source, tuple(notes), asked, scales)


def _shown(panel: Panel, query: Query, several: Sequence[Reading]) -> Sequence[Reading]:
    """Those worth a line: what never happened has none, unless nothing else did."""
    if query.by:
        happened = [reading for reading in several if not empty(reading)]
        return happened or [replace(several[0], label=t("none"))]
    first = panel.parts[0].label
    return [one for one in several if not one.label or one.label == first or not empty(one)]


def interpret(query: Query, answer: Sequence[Series]) -> dict[str, tuple[Reading, ...]]:
    """An answer as the readings of each instance (or GPU, by its UUID), in the panel's unit.

    One each, or, where the query tells series apart by a label, one for each value of it.
    """
    grouped: dict[str, dict[str, list[Series]]] = {}
    for series in answer:
        within = grouped.setdefault(series.labels.get(query.identity, ""), {})
        within.setdefault(series.labels.get(query.by, "") if query.by else "", []).append(series)
    return {
        name: tuple(
            _reading(query, " ".join(word for word in (query.label, value) if word), several)
            for value, several in sorted(within.items())
        )
        for name, within in grouped.items()
    }


def _reading(query: Query, label: str, several: Sequence[Series]) -> Reading:
    match query.form:
        case "buckets":
            return _from_buckets(query, label, several)
        case "summary":
            return _from_summary(query, label, several)
        case _:
            # Labels that changed are a series of their own: the newest is what holds.
            newest = max(several, key=lambda series: series.times_s[-1])
            values = tuple(value * query.scale for value in newest.values)
            labels = newest.labels if query.form == "labels" else {}
            return Reading(label, query.note, newest.times_s, values, labels=labels)


def _by_time(
    query: Query, several: Sequence[Series], label: str
) -> dict[float, dict[float, float]]:
    """Values by time and by the number in a label (`le` or `quantile`).

    A series whose label is no number is left out: no histogram and no summary has one.
    """
    found: dict[float, dict[float, float]] = {}
    for series in several:
        try:
            key = float(series.labels[label])
        except (KeyError, ValueError):
            continue
        key = key * query.scale if label == "le" else key
        for time_s, value in zip(series.times_s, series.values, strict=True):
            found.setdefault(time_s, {})[key] = value
    return dict(sorted(found.items()))


def _from_buckets(query: Query, label: str, several: Sequence[Series]) -> Reading:
    rates = _by_time(query, several, "le")
    return Reading(label, query.note, tuple(rates), histograms=tuple(rates.values()))


def _from_summary(query: Query, label: str, several: Sequence[Series]) -> Reading:
    """A summary's own quantiles: no width, as the engine computed them."""
    found = {
        time_s: {quantile: value * query.scale for quantile, value in values.items()}
        for time_s, values in _by_time(query, several, "quantile").items()
    }
    return Reading(label, query.note, tuple(found), quantiles=tuple(found.values()))
