"""How well a run kept to its SLO: attainment, what was missed, and the error budget. Pure.

What counts are the requests of the window that are finished: those that ended well and those that
failed. A request cancelled when the load ended is neither good nor bad, as in `measure.summary`,
whose `slo_attainment` and `goodput_rps` these are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from measure import latency, shares, window
from measure.quantiles import Floats
from measure.records import Status
from measure.slo import Slo, met
from measure.window import Window

FAILED = "failed"
_LIMITS = {"ttft_s": "ttft", "itl_s": "itl", "tpot_s": "tpot", "e2e_s": "e2e"}


@dataclass(frozen=True)
class Attainment:
    """Requests of a window held against an SLO.

    `good` of `finished` met every limit; `effective` is how many independent requests they are
    worth; `goodput_rps` is `None` where the window has no length. `missed` counts the others by
    what they missed, each once: `("failed",)`, `("ttft",)`, `("ttft", "itl")`. `undefined` counts,
    by limit, those of them that ended well and have no such quantity (no ITL of one token).
    """

    good: int
    finished: int
    effective: float
    goodput_rps: float | None
    missed: Mapping[tuple[str, ...], int]
    undefined: Mapping[str, int]

    @property
    def share(self) -> float | None:
        """Good of finished; `None` if none is finished."""
        return self.good / self.finished if self.finished else None

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% interval of the share (`measure.shares`); 0 to 1 if none is finished."""
        return shares.interval(self.share or 0.0, self.effective)


@dataclass(frozen=True)
class Burn:
    """How fast the error budget was used, over the run's time.

    The budget is the share of requests that may be bad: 1 − objective. `rate` at `time_s` is the
    share of bad ones among the requests wanted in the `width_s` before, over the budget: at 1 the
    budget lasts exactly as long as the window. NaN where none was wanted. `used` is the bad ones so
    far over all the budget of the window: at 1 it is gone.

    (Burn rate: *The Site Reliability Workbook*, 2018, chapter 5, "Alerting on SLOs".)
    """

    width_s: float
    time_s: Floats
    rate: Floats
    used: Floats


def attainment(records: pa.Table, slo: Slo, span: Window, *, open_loop: bool) -> Attainment:
    """Hold the requests of a window against an SLO.

    Args:
        records: those that count (`measure.store.Run.counted`).
        slo: what is asked for; with nothing asked for, to have ended well is to be good.
        span: the window, for the goodput.
        open_loop: whether TTFT and E2E count from the schedule.
    """
    records = _finished_in_order(records, open_loop=open_loop)
    good = met(records, slo, from_schedule=open_loop)
    missed, undefined = _missed(records, slo, open_loop=open_loop)
    return Attainment(
        int(good.sum()),
        int(good.size),
        shares.effective_count(good),
        float(good.sum()) / span.length_s if span.length_s > 0 else None,
        missed,
        undefined,
    )


def together(several: list[Attainment]) -> Attainment:
    """Runs of the same load taken as one: counts add up (shares would not)."""
    missed: dict[tuple[str, ...], int] = {}
    undefined: dict[str, int] = {}
    for one in several:
        for what, count in one.missed.items():
            missed[what] = missed.get(what, 0) + count
        for name, count in one.undefined.items():
            undefined[name] = undefined.get(name, 0) + count
    rates = [one.goodput_rps for one in several if one.goodput_rps is not None]
    return Attainment(
        sum(one.good for one in several),
        sum(one.finished for one in several),
        sum(one.effective for one in several),
        sum(rates) / len(rates) if rates else None,
        missed,
        undefined,
    )


def burn(
    records: pa.Table,
    slo: Slo,
    objective: float,
    span: Window,
    *,
    open_loop: bool,
    width_s: float,
    points: int = 300,
) -> Burn:
    """The burn rate over sliding stretches of the window, and the budget used so far.

    Args:
        records: those that count.
        slo: what is asked for.
        objective: which share of the requests must be good, above 0 and below 1.
        span: the window.
        open_loop: whether TTFT and E2E count from the schedule.
        width_s: how long a stretch is.
        points: at how many moments, evenly over the window.

    Raises:
        ValueError: an objective that leaves no budget, or all.
    """
    if not 0 < objective < 1:
        raise ValueError(f"an objective of {objective} has no error budget")
    records = _finished_in_order(records, open_loop=open_loop)
    wanted = window.wanted_s(records, open_loop=open_loop)
    bad = np.concatenate([[0], np.cumsum(~met(records, slo, from_schedule=open_loop))])
    time_s = np.linspace(span.start_s, max(span.end_s, span.start_s), points + 1)[1:]
    # At the window's end all that was wanted in it has been.
    last = np.searchsorted(wanted, time_s, side="right")
    first = np.searchsorted(wanted, np.maximum(time_s - width_s, span.start_s), side="left")
    seen = last - first
    budget = 1 - objective
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(seen > 0, (bad[last] - bad[first]) / seen / budget, np.nan)
    whole = budget * wanted.size
    used = bad[last] / whole if whole else np.full(points, np.nan)
    return Burn(width_s, time_s, rate, np.asarray(used, dtype=np.float64))


def _finished_in_order(records: pa.Table, *, open_loop: bool) -> pa.Table:
    """The requests that ended well or failed, in the order in which they were wanted."""
    finished = pc.not_equal(records.column("status"), Status.CANCELLED.value)
    records = records.select(_NEEDED).filter(finished)
    order = np.argsort(window.wanted_s(records, open_loop=open_loop), kind="stable")
    return records.take(pa.array(order))


_NEEDED = [
    "scheduled_s", "sent_s", "first_content_s", "last_content_s", "output_tokens",
    "first_chunk_tokens", "chunks", "status",
]  # fmt: skip


def needed(records: pa.Table) -> pa.Table:
    """The columns that this module reads: a small part of what a record holds."""
    return records.select(_NEEDED)


def _missed(
    records: pa.Table, slo: Slo, *, open_loop: bool
) -> tuple[dict[tuple[str, ...], int], dict[str, int]]:
    ok = latency.is_ok(records)
    kind = np.zeros(ok.size, dtype=np.int64)
    undefined: dict[str, int] = {}
    asked = [name for name, limit in slo.as_dict().items() if limit is not None]
    for place, name in enumerate(asked):
        alone = replace(Slo(), **{name: getattr(slo, name)})
        over = ok & ~met(records, alone, from_schedule=open_loop)
        anything = met(records, replace(Slo(), **{name: np.inf}), from_schedule=open_loop)
        kind += over.astype(np.int64) << place
        if (ok & ~anything).any():
            undefined[_LIMITS[name]] = int((ok & ~anything).sum())
    found = {
        tuple(_LIMITS[name] for place, name in enumerate(asked) if code >> place & 1): int(count)
        for code, count in enumerate(np.bincount(kind[ok], minlength=1))
        if code and count
    }
    failed = int((~ok).sum())
    return ({(FAILED,): failed} if failed else {}) | found, undefined


def breaks_between(
    points: list[tuple[float, Attainment]], objective: float
) -> tuple[float | None, float | None]:
    """Between which two loads the objective was lost.

    A load holds the objective if the lower end of its interval does, and loses it if the upper end
    lies below. What is in between is not told apart from the objective and settles nothing.

    Args:
        points: load (a rate, a number of users) and what was measured there, each load once.
        objective: which share of the requests must be good.

    Returns:
        The highest load that holds it with none below that loses it, and the lowest load that
        loses it; `None` where there is no such load. Nothing is interpolated.
    """
    lost = min((load for load, one in points if one.finished and one.interval[1] < objective),
               default=None)  # fmt: skip
    held = [
        load
        for load, one in points
        if one.finished and one.interval[0] >= objective and (lost is None or load < lost)
    ]
    return max(held, default=None), lost
