"""What the service-level objectives ask, of whom, and in PromQL. Pure.

Two objectives: an online classifier answers within `slo_e2e_ms`, a chat gives its first token
within `slo_ttft_ms`, each for a share `slo_objective` of the requests (p99 below the threshold is
a share of 0.99). A request that failed has missed it; one that was refused (it was wrong) or whose
client left counts nowhere.

Prometheus only has histograms, so a request is within the threshold if it is in the buckets up to
the bound at or just above it: `bound_s` says which bound that was. An engine without such a
histogram, or with buckets too coarse, has no series of its own; the load test's has, for every
engine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Literal

from servers.contract import Engine, Metric, Value

Slo = Literal["ttft", "e2e"]

COARSEST = 1.3
"""How far above the threshold a bound may be, as a factor: the load test's are 1.25 apart."""

_OF_CONCEPT: Mapping[str, Slo] = {"ttft": "ttft", "e2e": "e2e", "e2e_ok": "e2e"}

# The load test's own metrics: `measure.client_metrics`, which this room does not know.
CLIENT_BOUNDS_S = tuple(round(0.001 * 1.25**i, 6) for i in range(50))
CLIENT_HISTOGRAMS: Mapping[Slo, tuple[str, str]] = {
    "ttft": ("client_ttft_from_schedule_seconds", 'job="client",scenario!="classify"'),
    "e2e": ("client_e2e_seconds", 'job="client",scenario="classify"'),
}
CLIENT_FAILED = 'client_requests_total{%s,status=~"http_error|stream_error|timeout"}'


@dataclass(frozen=True)
class Objectives:
    """The thresholds in seconds, the share that has to keep them, and over which windows."""

    ttft_s: float
    e2e_s: float
    share: float
    windows: str

    @classmethod
    def of(cls, settings: Mapping[str, Value]) -> Objectives:
        """From the knobs of an instance of Prometheus."""
        return cls(
            float(str(settings["slo_ttft_ms"])) / 1e3,
            float(str(settings["slo_e2e_ms"])) / 1e3,
            float(str(settings["slo_objective"])),
            str(settings["slo_windows"]),
        )

    def threshold_s(self, slo: Slo) -> float:
        """The most a request may take."""
        return self.ttft_s if slo == "ttft" else self.e2e_s


@dataclass(frozen=True)
class Burn:
    """One alert on how fast the error budget burns: over a long window, and a short one still.

    `factor` times the budget's own pace, at which it would last exactly its period.
    """

    long_s: int
    short_s: int
    factor: float


BURNS: Mapping[str, tuple[Burn, Burn]] = {
    "month": (Burn(3600, 300, 14.4), Burn(21600, 1800, 6.0)),
    "lab": (Burn(300, 60, 14.4), Burn(1800, 300, 6.0)),
}
"""Fast and slow. `month` is Google's (The Site Reliability Workbook, chapter 5, method 6): 2% of
the budget of 30 days in an hour, 5% in six hours. `lab` is the same for a budget of 60 hours, a
workshop's: the long windows are a twelfth, the factors stay; the short ones hold a few scrapes."""


@dataclass(frozen=True)
class Measured:
    """One histogram that an objective can be read from.

    `engine` is empty for the load test's. `count` and `good` are selectors of counters: of its
    requests, and of those within `bound_s`. `failed` counts those that failed, if anything does.
    """

    slo: Slo
    seen_by: Literal["engine", "client"]
    engine: str
    bound_s: float
    count: str
    good: str
    failed: str | None


def measured(engines: Iterable[Engine], asked: Objectives) -> list[Measured]:
    """All there are: each engine's own histograms, then the load test's."""
    found = []
    for engine, metric in _asked_of(engines):
        slo = _OF_CONCEPT[metric.concept]
        bound = bound_at(metric.bounds, asked.threshold_s(slo) / metric.scale)
        if bound is None:
            continue
        labels = selector(engine, metric)
        failed = _failed_beside(engine, metric)
        found.append(
            Measured(
                slo,
                "engine",
                engine.name,
                float(f"{bound * metric.scale:.9g}"),
                f"{metric.name}_count{{{labels}}}",
                f"{metric.name}_bucket{{{labels},{le(bound)}}}",
                f"{failed.name}{{{selector(engine, failed)}}}" if failed else None,
            )
        )
    for slo, (name, labels) in CLIENT_HISTOGRAMS.items():
        bound = bound_at(CLIENT_BOUNDS_S, asked.threshold_s(slo))
        if bound is not None:
            found.append(
                Measured(
                    slo,
                    "client",
                    "",
                    bound,
                    f"{name}_count{{{labels}}}",
                    f'{name}_bucket{{{labels},le="{bound:g}"}}',
                    CLIENT_FAILED % labels,
                )
            )
    return found


def unmeasured(engines: Iterable[Engine], asked: Objectives) -> list[str]:
    """The engines that answer requests and have no histogram fine enough, in words."""
    found = []
    for engine in engines:
        if not engine.protocols:
            continue
        kept = {one.slo for one in measured([engine], asked) if one.seen_by == "engine"}
        for slo in _expected(engine) - kept:
            had = any(_OF_CONCEPT[metric.concept] == slo for _, metric in _asked_of([engine]))
            why = "its buckets are too coarse at the threshold" if had else "it has no histogram"
            found.append(f"{engine.title}, {slo.upper()}: {why}; the load test's is used")
    return sorted(found)


def _expected(engine: Engine) -> set[Slo]:
    """The objectives that what it answers calls for."""
    classifying = {"classify", "kserve-infer"}
    found: set[Slo] = set()
    if classifying.intersection(engine.protocols):
        found.add("e2e")
    if set(engine.protocols) - classifying:
        found.add("ttft")
    return found


def _asked_of(engines: Iterable[Engine]) -> list[tuple[Engine, Metric]]:
    """The histograms whose bounds are known, which is what makes an objective of them."""
    return [
        (engine, metric)
        for engine, metric in ((e, m) for e in engines for m in e.metrics)
        if metric.bounds and metric.concept in _OF_CONCEPT
    ]


def _failed_beside(engine: Engine, metric: Metric) -> Metric | None:
    """The count of failures by the same program: an engine may carry another's metrics too."""
    program = re.split("[_:]", metric.name)[0]
    return next(
        (
            one
            for one in engine.metrics
            if one.concept == "requests_failed" and re.split("[_:]", one.name)[0] == program
        ),
        None,
    )


def bound_at(bounds: Iterable[float], threshold: float) -> float | None:
    """The bound at the threshold or just above; `None` if that is over `COARSEST` times it."""
    above = (bound for bound in sorted(bounds) if bound >= threshold * (1 - 1e-9))
    bound = next(above, None)
    return bound if bound is not None and bound <= threshold * COARSEST else None


def selector(engine: Engine, metric: Metric) -> str:
    """The labels of an engine's metric, between the braces."""
    parts = [f'engine="{engine.name}"']
    for label, value in metric.selector.items():
        several = isinstance(value, tuple)
        parts.append(f'{label}=~"{"|".join(value)}"' if several else f'{label}="{value}"')
    return ",".join(parts)


def le(bound: float) -> str:
    """The matcher of a bucket, however the bound is written. No bound is below 0.001.

    Prometheus 2 keeps what the engine wrote (`200`, `200.0`), 3 writes `200.0`; Triton writes
    0.086736 as `0.08673599999999999` and 0.069389 as `0.06938900000000001`.
    """
    text = f"{bound:.12g}"
    if "." not in text:
        return f'le=~"{text}(\\\\.0)?"'
    if len(text.replace(".", "").lstrip("0")) <= 3:
        return f'le="{text}"'
    below = f"{text[:-1]}{int(text[-1]) - 1}"  # A last digit is never 0.
    several = (f"{text}(00[0-9]*)?", f"{below}99[0-9]*")
    return f'le=~"{"|".join(one.replace(".", "[.]") for one in several)}"'


def total(one: Measured, window: str) -> str:
    """Requests a second that count: those in the histogram and those that failed.

    An answer that broke off after its first token is in both: once for its TTFT, once as failed.
    """
    count = _rate(one.count, window)
    if one.failed is None:
        return count
    failed = _rate(one.failed, window)
    # Where one of the two has no series yet, the other stands alone.
    return f"{count} + {failed} or {count} or {failed}"


def good(one: Measured, window: str) -> str:
    """Requests a second that kept the objective."""
    return _rate(one.good, window)


def _rate(counter: str, window: str) -> str:
    return f"sum by (instance) (rate({counter}[{window}]))"


def words(seconds: int) -> str:
    """A window as Prometheus writes it: `5m`, `6h`."""
    for unit, size in (("h", 3600), ("m", 60)):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def windows(asked: Objectives) -> list[str]:
    """All windows that the two alerts look at, shortest first."""
    lengths = {s for burn in BURNS[asked.windows] for s in (burn.short_s, burn.long_s)}
    return [words(length) for length in sorted(lengths)]


def concepts(engines: Iterable[Engine], names: Iterable[str]) -> list[str]:
    """The selectors of all metrics of these concepts, over all engines."""
    return [
        f"{metric.name}{{{selector(engine, metric)}}}"
        for engine, name in product(engines, names)
        for metric in engine.metrics
        if metric.concept == name
    ]
