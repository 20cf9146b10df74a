"""What an engine's memory was over time, from a run's series; and what it is made of. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from dashboard import run_words
from dashboard.memory import plan
from dashboard.memory.plan import Plan, Where
from dashboard.words import t
from measure import server_series, server_timeline
from measure.quantiles import Floats
from measure.store import Run
from servers.contract import Engine, Metric

GPU_MEMORY = "lab_instance_gpu_memory_bytes"
PROCESS_MEMORY = "lab_instance_memory_bytes"
PSS, RSS = "pss", "rss"

_WHOLE = re.compile("[0-9]{1,15}")
Series = tuple[Floats, Floats]


@dataclass(frozen=True)
class Observed:
    """One instance's memory over time, its KV cache, and what was expected of it.

    `where` says whose memory `held` is: that of GPUs, or of the machine (`kind` then says how
    shared pages are counted). `kv_bytes` is what its KV cache sets aside; `None` if it says
    nothing of it. `kv_usage` is the share of that in use. `called` is what the instance really is,
    where that is not its engine (a stand-in); else empty.
    """

    name: str
    where: Where
    kind: str
    held: Series
    kv_usage: Series | None
    kv_bytes: int | None
    plan: Plan | None
    called: str = ""

    @property
    def label(self) -> str:
        """Its name, and what it really is where its name does not say it."""
        return f"{self.name}, {self.called}" if self.called else self.name

    @property
    def peak_bytes(self) -> float:
        """The most that was held at a scrape; NaN if nothing was seen."""
        return float(np.nanmax(self.held[1])) if self.held[1].size else float("nan")

    @property
    def kv_peak_bytes(self) -> float | None:
        """The most of the KV cache that was in use at a scrape."""
        if self.kv_usage is None or self.kv_bytes is None or not self.kv_usage[1].size:
            return None
        return float(np.nanmax(self.kv_usage[1])) * self.kv_bytes


@dataclass(frozen=True)
class Layer:
    """One part of what is held, at each moment. `kind` names its colour and pattern."""

    kind: str
    title: str
    values: Floats


def of_run(run: Run, engines: Mapping[str, Engine]) -> Observed | None:
    """A run's memory; `None` if no series of it were kept.

    Raises `DamagedRunError` if the series cannot be read.
    """
    table = run.server_metrics
    if table is None:
        return None
    facts = run.manifest["engine"]
    engine = engines.get(str(facts.get("name")))
    metrics = engine.metrics if engine else ()
    expected = plan.read(facts.get("memory_plan"))
    held_on_gpus = server_timeline.gauge(table, GPU_MEMORY)
    kind, held = _process(table)
    where: Where = "host"
    if held_on_gpus[0].size and held_on_gpus[1].max() > 0:
        where, kind, held = "gpu", "", held_on_gpus
    return Observed(
        run.path.name,
        where,
        kind,
        held,
        _usage(table, metrics),
        kv_bytes(_config(table, metrics), expected),
        expected,
        run_words.own_title(run.manifest),
    )


def kv_bytes(labels: Mapping[str, str], expected: Plan | None) -> int | None:
    """What a KV cache sets aside, by the labels of the engine's `config` metric and the plan.

    Blocks times tokens of a block times bytes of a token; where the last is unknown, the bytes
    that the engine was given. Without either what the plan says, if it does not come later.
    """
    tokens = _whole(labels.get("num_gpu_blocks")) * _whole(labels.get("block_size"))
    if tokens and expected is not None and expected.kv_bytes_per_token:
        return tokens * expected.kv_bytes_per_token * max(expected.gpus, 1)
    given = _whole(labels.get("kv_cache_memory_bytes"))
    if given:
        return given
    if expected is None or expected.comes_later(plan.KV_CACHE):
        return None
    return expected.part(plan.KV_CACHE, "gpu" if expected.device == "cuda" else "host") or None


def _whole(said: str | None) -> int:
    """A label that is a whole number; 0 if it is none, or more than any machine holds."""
    return int(said) if said and _WHOLE.fullmatch(said) else 0


def layers(one: Observed) -> list[Layer]:
    """What is held, split as far as it is known; the layers add up to it at each moment.

    Weights are the plan's, the KV cache the engine's own word. Where the whole is less than its
    parts (pages that nobody has written to are not there yet) the upper ones are cut.
    """
    times_s, left = one.held[0], one.held[1].copy()
    found = []

    def take(kind: str, title: str, size: Floats | float) -> None:
        nonlocal left
        values = np.minimum(np.broadcast_to(size, left.shape), left)
        left = left - values
        found.append(Layer(kind, title, values))

    weights = one.plan.part(plan.WEIGHTS, one.where) if one.plan else None
    if weights:
        take("weights", t("weights"), float(weights))
    if one.kv_bytes and one.kv_usage is not None and one.kv_usage[0].size:
        used = np.interp(times_s, *one.kv_usage) * one.kv_bytes
        take("kv used", t("KV cache in use"), used)
        take("kv free", t("KV cache set aside, not in use"), one.kv_bytes - used)
    elif one.kv_bytes:
        take("kv used", t("KV cache set aside"), float(one.kv_bytes))
    found.append(Layer("other", _rest(one, bool(found)), left))
    return found


def _rest(one: Observed, something_known: bool) -> str:
    """What is left, by what is known to be in it."""
    if not something_known:
        return t("all of it")
    grows = one.plan is not None and one.kv_bytes is None and one.plan.comes_later(plan.KV_CACHE)
    return t("KV cache so far, and other") if grows else t("other")


def _process(table: pa.Table) -> tuple[str, Series]:
    for kind in (PSS, RSS):
        held = server_timeline.gauge(table, PROCESS_MEMORY, {"kind": kind})
        if held[0].size:
            return kind, held
    return PSS, (np.empty(0), np.empty(0))


def _usage(table: pa.Table, metrics: Sequence[Metric]) -> Series | None:
    for metric in metrics:
        if metric.concept == "kv_cache_usage":
            times_s, values = server_timeline.gauge(table, metric.name, metric.selector, "max")
            if times_s.size:
                return times_s, values * metric.scale
    return None


def _config(table: pa.Table, metrics: Sequence[Metric]) -> dict[str, str]:
    """The labels of the engine's configuration, as it was last seen."""
    for metric in metrics:
        if metric.concept == "config":
            found = server_series.series(table, metric.name, metric.selector)
            if found:
                newest = max(found, key=lambda labels: found[labels][0][-1])
                return dict(newest)
    return {}


@dataclass(frozen=True)
class KvActivity:
    """What a KV cache went through in a run: preemptions a second, share of prompt tokens hit."""

    usage: Series | None
    preemptions: Series | None
    prefix_hits: Series | None


def kv_activity(table: pa.Table, metrics: Sequence[Metric]) -> KvActivity:
    """As far as the engine exports it."""
    by_concept = {metric.concept: metric for metric in metrics}
    preempted = by_concept.get("preemptions")
    hits, asked = by_concept.get("prefix_cache_hits"), by_concept.get("prefix_cache_queries")
    rate = server_timeline.rate(table, preempted.name, preempted.selector) if preempted else None
    share = server_timeline.ratio(table, hits.name, asked.name) if hits and asked else None
    return KvActivity(
        _usage(table, metrics),
        rate if rate and rate[0].size else None,
        share if share and share[0].size else None,
    )
