"""The numbers at the top of the Live page. Pure."""

import math
from collections.abc import Mapping, Sequence

from dashboard import promql, tiles, units
from dashboard.live.asking import title_of
from dashboard.live.readings import PanelReadings, Reading, empty, in_one_piece
from dashboard.sources import GPU, LOAD_TEST, Source
from dashboard.theme import Line
from dashboard.tiles import Fact, Tile
from dashboard.words import t
from measure.server_histogram import Bounds

_MOST = 8
_ENGINE = (
    ("TTFT p50", "ttft", 0.5),
    ("TTFT p99", "ttft", 0.99),
    ("E2E p50", "e2e", 0.5),
    ("E2E p99", "e2e", 0.99),
    ("Tokens/s", "output_tokens", None),
    ("Requests/s", "requests", None),
    ("Running", "running", None),
    ("Waiting", "waiting", None),
    ("KV cache", "kv_cache_usage", None),
    ("Memory", "memory", None),
    ("CPU", "cpu", None),
)
_GPU = (
    ("In use", "gpu_util", None),
    ("Memory", "gpu_memory", None),
    ("Memory traffic", "gpu_memory_util", None),
    ("Power", "gpu_power", None),
    ("Temperature", "gpu_temperature", None),
    ("SM clock", "gpu_clock", None),
    ("Last XID", "gpu_xid", None),
)
_LOAD = (
    ("TTFT p50", "client_ttft", 0.5),
    ("TTFT p99", "client_ttft", 0.99),
    ("E2E p50", "client_e2e", 0.5),
    ("E2E p99", "client_e2e", 0.99),
    ("Tokens/s", "client_tokens", None),
    ("Requests/s", "client_requests", None),
    ("Failed", "client_failures", None),
    ("In flight", "client_in_flight", None),
    ("Chunk gap p99", "client_chunk_gap", 0.99),
    ("Loop lag", "client_loop_lag", None),
)
_OF_STREAMS = ("client_ttft", "client_tokens", "client_chunk_gap")
_TTFT = ("ttft", "client_ttft")
_RARE = ("e2e", "client_e2e")
_KINDS = {LOAD_TEST: _LOAD, GPU: _GPU}

PANELS = tuple(dict.fromkeys(key for facts in (_ENGINE, _GPU, _LOAD) for _, key, _ in facts))
"""The panels whose readings tiles show."""


def render(
    sources: Sequence[Source],
    readings: Sequence[PanelReadings],
    lines: Mapping[str, Line],
    span: promql.Span,
) -> str:
    """One tile for each source, with what it does now."""
    by_key = {one.panel.key: one for one in readings}
    return tiles.render([_tile(source, by_key, lines[source.name], span) for source in sources])


def _tile(
    source: Source, by_key: Mapping[str, PanelReadings], line: Line, span: promql.Span
) -> Tile:
    facts = [
        _fact(t(label), by_key[key], quantile, source, span)
        for label, key, quantile in _wanted(source, by_key)
    ]
    state = t(source.state) if source.state else ""
    about = "" if source.about == source.name else source.about
    words = [t("load test") if source.is_load else title_of(source), state, about]
    return Tile(source.name, " · ".join(word for word in words if word), line, facts)


def _wanted(
    source: Source, by_key: Mapping[str, PanelReadings]
) -> Sequence[tuple[str, str, float | None]]:
    """The facts that this source has numbers of, the most telling ones.

    E2E stands where there is no TTFT, as where answers come in one piece or none was streamed.
    """

    def observed(*keys: str) -> bool:
        several = [one for key in keys for one in by_key[key].by_source.get(source.name, ())]
        return not all(empty(one) for one in several)

    facts = [
        fact
        for fact in _KINDS.get(source.kind, _ENGINE)
        if source.name in by_key[fact[1]].by_source
    ]
    if source.is_load and in_one_piece(by_key, source.name):
        facts = [fact for fact in facts if fact[1] not in _OF_STREAMS]
    whole = observed(*_RARE) and not observed(*_TTFT)
    if any(key in _TTFT for _, key, _ in facts):
        hidden = _TTFT if whole else _RARE
        facts = [fact for fact in facts if fact[1] not in hidden]
    return facts[:_MOST]


def _fact(
    label: str,
    readings: PanelReadings,
    quantile: float | None,
    source: Source,
    span: promql.Span,
) -> Fact:
    several = readings.by_source.get(source.name, ())
    # A scrape, or a step, may be late by one.
    age_s = max(2 * span.step_s, promql.SCRAPES_IN_A_WINDOW * promql.SCRAPE_S)
    unit = readings.panel.unit
    if quantile is not None:
        bounds = _bounds(several, quantile, span, age_s)
        if bounds is None:
            return Fact(label, units.show(None, unit), t("Nothing observed now."))
        words = units.between(bounds.lower, bounds.upper, unit)
        return Fact(
            label,
            units.at_most(bounds.lower, bounds.upper, unit),
            t("From the histogram's buckets: {bounds}.", bounds=words),
        )
    values = [reading.last(span.end_s, age_s) for reading in several if not reading.label]
    values = values or [reading.last(span.end_s, age_s) for reading in several]
    known = [value for value in values if math.isfinite(value)]
    text = units.show(sum(known) if known else None, unit).removesuffix(" tok/s")
    return Fact(label, text.removesuffix("/s"), t(readings.panel.help))


def _bounds(
    several: Sequence[Reading], quantile: float, span: promql.Span, age_s: float
) -> Bounds | None:
    return next(
        (
            found
            for reading in several
            if (found := reading.last_bounds(quantile, span.end_s, age_s))
        ),
        None,
    )
