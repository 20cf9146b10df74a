"""PromQL as text, built from facts. Pure: nothing here asks a server.

Percentiles are never averaged: bucket rates are summed over what one instance exports, and a
quantile is read from the sum. Metrics keep `instance` (the lab's name of a running engine, or the
run a load test writes), which is all that a page needs to tell them apart.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SCRAPE_S = 1.0
"""How often the lab's Prometheus scrapes."""

SCRAPES_IN_A_WINDOW = 5
"""A rate over fewer than four scrapes comes back empty; one more bears a late scrape."""

_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600)
_POINTS = 180

Matchers = Mapping[str, str | Sequence[str]]


@dataclass(frozen=True)
class Span:
    """A range of wall-clock time whose ends are multiples of the step, so that caches hit."""

    start_s: float
    end_s: float
    step_s: int

    @classmethod
    def ending(cls, now_s: float, length_s: float) -> "Span":
        """The last `length_s` seconds before `now_s`, in at most 180 steps."""
        step = next((step for step in _STEPS_S if length_s / step <= _POINTS), _STEPS_S[-1])
        end = now_s // step * step
        return cls(end - length_s // step * step, end, step)

    @property
    def rate_window_s(self) -> int:
        """The window of `rate()`: no sample is skipped, and never under four scrapes."""
        return max(int(SCRAPES_IN_A_WINDOW * SCRAPE_S), self.step_s)


def quote(value: str) -> str:
    """A label's value as a PromQL string."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def selector(metric: str, matchers: Matchers | None = None) -> str:
    """`metric{label="value",other=~"a|b"}`; several values match any of them.

    Raises `ValueError` for a name that no metric or label can have.
    """
    if not _METRIC.fullmatch(metric):
        raise ValueError(f"{metric!r} cannot be a metric's name")
    parts = []
    for label, value in (matchers or {}).items():
        if not _LABEL.fullmatch(label):
            raise ValueError(f"{label!r} cannot be a label's name")
        if isinstance(value, str):
            parts.append(f"{label}={quote(value)}")
        else:
            parts.append(f"{label}=~{quote('|'.join(_literal(one) for one in value))}")
    return f"{metric}{{{','.join(parts)}}}" if parts else metric


def _literal(value: str) -> str:
    """The value as an RE2 pattern that matches only itself."""
    return re.sub(r"([\\.+*?()|\[\]{}^$])", r"\\\1", value)


def by(aggregate: str, labels: Sequence[str], expression: str) -> str:
    """`aggregate by (labels) (expression)`."""
    return f"{aggregate} by ({', '.join(labels)}) ({expression})"


def rate(metric: str, matchers: Matchers, window_s: int, labels: Sequence[str]) -> str:
    """Growth per second of a counter, summed to the labels."""
    return by("sum", labels, f"rate({selector(metric, matchers)}[{window_s}s])")


def gauge(metric: str, matchers: Matchers, labels: Sequence[str], aggregate: str = "sum") -> str:
    """A gauge, put together to the labels (`sum` for amounts, `max` for shares)."""
    return by(aggregate, labels, selector(metric, matchers))


def buckets(metric: str, matchers: Matchers, window_s: int, labels: Sequence[str]) -> str:
    """Bucket rates of a classic histogram, summed to the labels and `le`."""
    return rate(f"{metric}_bucket", matchers, window_s, [*labels, "le"])


def quantile(level: float, bucket_rates: str, scale: float = 1.0) -> str:
    """The quantile of `buckets(…)`, interpolated within its bucket; `scale` changes its unit."""
    read = f"histogram_quantile({level:g}, {bucket_rates})"
    return read if scale == 1.0 else f"{read} * {scale:g}"


def ratio(
    numerator: str, denominator: str, matchers: Matchers, window_s: int, labels: Sequence[str]
) -> str:
    """Growth of one counter for each step of another: a mean over the window, NaN when idle."""
    return (
        f"{rate(numerator, matchers, window_s, labels)} / "
        f"{rate(denominator, matchers, window_s, labels)}"
    )


ASKED = "asked"
"""The label that tells apart the answers of expressions that were asked together."""


def together(expressions: Sequence[str]) -> str:
    """One expression for several: each one's series bear its number in the label `asked`."""
    parts = [f'label_replace({one}, "{ASKED}", "{i}", "", "")' for i, one in enumerate(expressions)]
    # In pairs, and pairs of pairs: a chain would look at the first one's series again and again.
    while len(parts) > 1:
        pairs = [parts[i : i + 2] for i in range(0, len(parts), 2)]
        parts = [f"({' or '.join(pair)})" for pair in pairs]
    return parts[0]


def divided(numerator: str, denominator: str, labels: Sequence[str]) -> str:
    """One aggregate over another whose labels are the first of `labels`; NaN where that is zero."""
    if len(labels) == 1:
        return f"{numerator} / {denominator}"
    return f"{numerator} / on ({labels[0]}) group_left () {denominator}"
