"""What it takes to say how another load generator counts (`measure.rosetta_tools` says it)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from measure import latency
from measure.quantiles import Floats, quantile
from measure.records import Status
from measure.slo import Slo

# A sample: values, and what each weighs (`None`: one).
Sample = tuple[Floats, Floats | None]


@dataclass(frozen=True)
class Meaning:
    """How a tool takes one latency: its sample, and in what it is another than ours.

    `differs` is `None` where the definition is the same; `sample` is `None` where the tool has no
    such quantity, and `differs` then says so. `at_most` marks a number that is an upper bound of
    what the tool would have said.
    """

    sample: Callable[[pa.Table], Sample] | None
    differs: str | None = None
    at_most: bool = False


@dataclass(frozen=True)
class Tool:
    """One load generator: its latencies, its way to a quantile, its span and its counts.

    `span_s` gives the seconds it divides by, `tokens` the output tokens it counts, `good` how many
    requests met the SLO and how many it judges at all (`None`: it knows no SLO, or none of its
    objectives was asked for), `error_rate` that of (failed, finished) requests. `attainment` says
    whether it reports good requests as a share too.
    """

    name: str
    latencies: dict[str, Meaning]
    quantile: Callable[[Floats, Floats | None, float], float]
    quantile_differs: str | None
    span_s: Callable[[pa.Table], float]
    span_differs: str
    tokens: Callable[[pa.Table], float]
    tokens_differ: str
    good: Callable[[pa.Table, Slo], tuple[int, int] | None]
    good_differs: str
    error_rate: Callable[[int, int], float]
    error_differs: str | None
    attainment: bool = False


def plain(values: Callable[[pa.Table], Floats]) -> Callable[[pa.Table], Sample]:
    """A sample in which every request weighs the same."""
    return lambda records: (known(values(records)), None)


def known(values: Floats) -> Floats:
    """The values that are not NaN."""
    return values[~np.isnan(values)]


def interpolated(values: Floats, _: Floats | None, level: float) -> float:
    """`numpy.percentile`: between two neighbours, by straight line (Hyndman and Fan's type 7)."""
    return float(np.percentile(values, level * 100)) if values.size else float("nan")


def weighted(values: Floats, weights: Floats | None, level: float) -> float:
    """The smallest value at or below which lies at least that share of all weight."""
    if weights is None:
        return quantile(values, level)
    kept = weights > 0
    order = np.argsort(values[kept], kind="stable")
    heaped = np.cumsum(weights[kept][order])
    if heaped.size == 0:
        return float("nan")
    # A sum's last digits must not move a share that is reached exactly.
    place = int(np.searchsorted(heaped, level * heaped[-1] * (1 - 1e-12), side="left"))
    return float(values[kept][order][min(place, heaped.size - 1)])


def heavy(values: Floats, weights: Floats) -> Sample:
    """What is known of the values, each with its weight."""
    known_ones = ~np.isnan(values)
    return values[known_ones], weights[known_ones]


def done_s(records: pa.Table) -> Floats:
    """E2E to the end of the answer's stream, which comes after the last content."""
    end = latency.column(records, "done_s") - latency.column(records, "sent_s")
    return np.where(latency.is_ok(records), end, np.nan)


def output_tokens(records: pa.Table) -> Floats:
    """Output tokens of each request, NaN if nobody counted."""
    return latency.column(records, "output_tokens")


def per_token_after_first(records: pa.Table, end_s: Floats) -> Floats:
    """(`end_s` − TTFT) / (tokens − 1) of the answers with more than one token."""
    after = output_tokens(records) - 1
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(after > 0, (end_s - latency.ttft_s(records)) / after, np.nan)


def span_s(records: pa.Table, end: str, *, ok_only: bool) -> float:
    """From the first request sent to the last `end` of the requests that finished."""
    status = np.asarray(records.column("status").to_numpy())
    chosen = latency.is_ok(records) if ok_only else status != Status.CANCELLED.value
    sent = known(latency.column(records, "sent_s")[chosen])
    ends = known(latency.column(records, end)[chosen])
    return float(ends.max() - sent.min()) if sent.size and ends.size else 0.0


def ok_tokens(records: pa.Table, unknown: float) -> float:
    """All output tokens of the requests that ended well; `unknown` for one nobody counted."""
    tokens = output_tokens(records)[latency.is_ok(records)]
    return float(np.where(np.isnan(tokens), unknown, tokens).sum())


def meets(
    records: pa.Table, limits: list[tuple[float | None, Floats]]
) -> npt.NDArray[np.bool_] | None:
    """Which requests that ended well keep every limit asked for; NaN keeps none."""
    asked = [(limit, values) for limit, values in limits if limit is not None]
    if not asked:
        return None
    result = latency.is_ok(records)
    for limit, values in asked:
        result = result & (values <= limit)
    return result


def finished(records: pa.Table) -> int:
    """How many requests were not cut off when the load ended: the other tools wait for all."""
    return int((np.asarray(records.column("status").to_numpy()) != Status.CANCELLED.value).sum())
