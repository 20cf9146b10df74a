"""What the Memory page asks of Prometheus: each instance's memory and KV cache, over a span."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from dashboard import prometheus, promql
from dashboard.memory import plan
from dashboard.memory.observed import (
    GPU_MEMORY,
    PROCESS_MEMORY,
    PSS,
    RSS,
    Observed,
    Series,
    kv_bytes,
)
from dashboard.memory.plan import Plan, Where
from dashboard.prometheus import Answer, Failure
from dashboard.sources import Source
from servers import instances
from servers.catalog import ENGINES, own_title
from servers.contract import Metric

_BY = ("instance",)


@dataclass(frozen=True)
class Asked:
    """The expressions for one instance; empty ones are not asked."""

    gpu: str
    pss: str
    rss: str
    usage: str
    config: str

    @property
    def shown(self) -> list[str]:
        """Those that a reader may want to copy."""
        return [one for one in (self.gpu, self.pss, self.usage, self.config) if one]


def queries(source: Source) -> Asked:
    """What to ask of one instance. Pure."""
    mine = {"instance": source.name}
    metrics = ENGINES[source.kind].metrics if source.kind in ENGINES else ()
    usage, config = _of(metrics, "kv_cache_usage"), _of(metrics, "config")
    return Asked(
        promql.gauge(GPU_MEMORY, mine, _BY),
        promql.gauge(PROCESS_MEMORY, {**mine, "kind": PSS}, _BY),
        promql.gauge(PROCESS_MEMORY, {**mine, "kind": RSS}, _BY),
        promql.gauge(usage.name, {**mine, **usage.selector}, _BY, "max") if usage else "",
        promql.selector(config.name, {**mine, **config.selector}) if config else "",
    )


def _of(metrics: Sequence[Metric], concept: str) -> Metric | None:
    return next((one for one in metrics if one.concept == concept), None)


def plans() -> dict[str, Plan | None]:
    """The forecast of each instance that this machine's lab started, by its name."""
    return {one.name: plan.read(one.memory_plan) for one in instances.all_instances()}


def read(
    url: str, span: promql.Span, sources: Sequence[Source], expected: Mapping[str, Plan | None]
) -> list[Observed] | Failure:
    """The memory of these instances over the span; the first failure if one query fails."""
    asked = {source.name: queries(source) for source in sources}
    expressions = sorted({query for one in asked.values() for query in vars(one).values() if query})
    with ThreadPoolExecutor(max_workers=4) as pool:
        replies = pool.map(lambda one: prometheus.query_range(url, one, span), expressions)
        answers = dict(zip(expressions, replies, strict=True))
    failure = next((reply for reply in answers.values() if isinstance(reply, Failure)), None)
    if failure:
        return failure
    return [_observed(source, asked[source.name], answers, expected) for source in sources]


def _observed(
    source: Source, asked: Asked, answers: Mapping[str, Answer], expected: Mapping[str, Plan | None]
) -> Observed:
    mine = expected.get(source.name)
    where: Where = "host"
    on_gpus, kind, held = _series(answers[asked.gpu]), PSS, _series(answers[asked.pss])
    if not held[0].size:
        kind, held = RSS, _series(answers[asked.rss])
    if on_gpus[0].size and np.nanmax(on_gpus[1]) > 0:
        where, kind, held = "gpu", "", on_gpus
    usage = _series(answers[asked.usage]) if asked.usage else None
    return Observed(
        source.name,
        where,
        kind,
        held,
        usage if usage and usage[0].size else None,
        kv_bytes(_labels(answers[asked.config]) if asked.config else {}, mine),
        mine,
        own_title(source.kind, source.title),
    )


def _series(answer: Answer) -> Series:
    """The one series of an answer that is put together by instance."""
    assert not isinstance(answer, Failure)
    if not answer:
        return np.empty(0), np.empty(0)
    times_s, values = np.array(answer[0].times_s), np.array(answer[0].values)
    known = np.isfinite(values)
    return times_s[known], values[known]


def _labels(answer: Answer) -> Mapping[str, str]:
    """The labels of the series that was seen last."""
    assert not isinstance(answer, Failure)
    newest = max(answer, key=lambda one: one.times_s[-1] if one.times_s else 0.0, default=None)
    return newest.labels if newest else {}
