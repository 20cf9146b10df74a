"""From records to `summary.json`: every number that is reported of a run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from measure import latency, slo, window
from measure.quantiles import Floats, describe
from measure.records import Status
from measure.verdict import ClientStats, Facts, judge

# The chunk gaps are several a request, pooled; the others one a request.
POOLED = "chunk_gap_s"
QUANTITIES: dict[str, Callable[[pa.Table], Floats]] = {
    "ttft_s": latency.ttft_s,
    "ttft_from_schedule_s": latency.ttft_from_schedule_s,
    "itl_s": latency.itl_s,
    POOLED: lambda records: latency.chunk_gaps(records).gap_s,
    "tpot_s": latency.tpot_s,
    "e2e_s": latency.e2e_s,
    "schedule_delay_s": latency.schedule_delay_s,
}

# A load ends within this of its time; before that somebody stopped it.
EARLY_S = 0.5

# More kinds of error than this help nobody; the rest is counted together.
MAX_ERROR_KINDS = 20
MAX_ERROR_TEXT = 160
OTHER_ERRORS = "other errors"


def summarise(
    records: pa.Table, manifest: dict[str, Any], client: ClientStats | None
) -> dict[str, Any]:
    """Everything `summary.json` holds (measure/README.md has the fields and units).

    Args:
        records: all records of the run, warm-up included; `measure.window` has the rule that
            picks those that count.
        manifest: of the run; its `load`, `slo` and `finished` are read.
        client: what the load test says of itself, `None` if it did not live to say it.

    Returns:
        Plain values, no NaN. `offered_rps` is `None` in closed loop (nothing is offered),
        `goodput_rps` and `slo_attainment` are `None` if no SLO was asked for.
    """
    open_loop = window.is_open_loop(manifest)
    end_s = None if client is None else (client.wall_s if client.end_s is None else client.end_s)
    cut = window.cut(records, manifest, end_s)
    span = cut.window
    # The names are most of a record's bytes, and no number comes from them.
    records = records.drop_columns(["request_id"])
    chosen = window.counted(records, manifest, span)
    sent = int(span.holds(latency.column(records, "sent_s")).sum())
    counts = _requests(chosen)
    result: dict[str, Any] = {
        "window_s": span.length_s,
        "window": _window(cut, records, open_loop=open_loop),
        "requests": counts,
        "offered_rps": _rate(chosen.num_rows, span) if open_loop else None,
        "achieved_rps": _rate(sent, span),
        "answered_rps": _rate(window.answers_in(records, span), span),
        **_goodput(chosen, counts, manifest, span, open_loop=open_loop),
        "output_tokens_per_s": _rate(window.tokens_in(records, span), span),
    }
    for name in QUANTITIES:
        result[name] = describe(*sample(name, chosen, open_loop=open_loop))
    merged = latency.merged_first_chunks(chosen)
    merged_chunks = latency.merged_chunks(chosen)
    verdict, reasons = judge(
        Facts(
            stats=client,
            finished=bool(manifest.get("finished")),
            total=counts["total"],
            ok=counts["ok"],
            offered=chosen.num_rows if open_loop else None,
            achieved=sent + _tried_in_vain(chosen),
            schedule_delay=_furthest_to_p99(result["schedule_delay_s"]),
            clocks=_counts(chosen.column("clock")),
            merged_first_chunks=merged,
            merged_chunks=merged_chunks,
            token_sources=_token_sources(chosen),
            window_problem=cut.problem,
            chunks_per_s=_rate(window.chunks_in(records, span), span),
            ceiling_per_s=_ceiling_per_s(manifest),
            cut_short_s=_cut_short_s(manifest["load"], end_s),
        )
    )
    result["client"] = {
        **_client(records, client),
        "merged_first_chunks": merged,
        "merged_chunks": merged_chunks,
        "verdict": verdict.value,
        "reasons": reasons,
    }
    return result


def _tried_in_vain(chosen: pa.Table) -> int:
    """Requests that the client would have sent, to a server that could not be reached."""
    unsent = pc.is_null(chosen["sent_s"])
    failed = pc.is_in(chosen["status"], pa.array([Status.STREAM_ERROR, Status.TIMEOUT]))
    return int(pc.sum(pc.and_(unsent, failed)).as_py() or 0)


def _cut_short_s(load: dict[str, Any], end_s: float | None) -> tuple[float, float] | None:
    """When the load ended and when it was to end, by time or by its trace, if it was stopped."""
    ends_s = [load.get("duration_s"), load["arrival"].get("ends_s")]
    asked_s = min((float(one) for one in ends_s if one is not None), default=0.0)
    if end_s is None or end_s > asked_s - EARLY_S:
        return None
    return end_s, asked_s


def _furthest_to_p99(described: dict[str, Any]) -> tuple[str, float] | None:
    """The p99 of a quantity, or the furthest quantile below it that its sample carries."""
    carried = [
        (level, described[level])
        for level in ("p99", "p95", "p90", "p50")
        if described[level] is not None
    ]
    return carried[0] if carried else None


def sample(
    name: str, records: pa.Table, *, open_loop: bool
) -> tuple[Floats, npt.NDArray[np.int64] | None]:
    """The values of a quantity in the order in which their requests were wanted.

    Returns:
        The values (NaN where undefined), and for the pooled quantity whose each is: the place of
        its request in that order.
    """
    order = np.argsort(window.wanted_s(records, open_loop=open_loop), kind="stable")
    if name != POOLED:
        return QUANTITIES[name](records)[order], None
    place = np.empty(order.size, dtype=np.int64)
    place[order] = np.arange(order.size)
    gaps = latency.chunk_gaps(records)
    return gaps.gap_s, place[gaps.row]


def in_flight(records: pa.Table) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Requests sent and not yet done, as a step function: times, and the number from each on.

    A request whose end is unknown counts to the end.
    """
    sent, done = latency.column(records, "sent_s"), latency.column(records, "done_s")
    ends = done[~np.isnan(sent) & ~np.isnan(done)]
    starts = sent[~np.isnan(sent)]
    times = np.concatenate([ends, starts])
    steps = np.concatenate([np.full(ends.size, -1), np.ones(starts.size, dtype=np.int64)])
    # Stable: at the same instant the end comes first, so a user's next request adds nothing.
    order = np.argsort(times, kind="stable")
    return times[order], np.cumsum(steps[order])


def _window(cut: window.Cut, records: pa.Table, *, open_loop: bool) -> dict[str, Any]:
    """Where the window lies, by which rule, and how many requests came before it."""
    before = window.wanted_s(records, open_loop=open_loop) < cut.window.start_s
    return {
        "start_s": cut.window.start_s,
        "end_s": cut.window.end_s,
        "warmup": cut.warmup.as_dict(),
        "requests_before": int(before.sum()),
        "problem": cut.problem,
    }


def _token_sources(chosen: pa.Table) -> dict[str, int]:
    """Who counted the output tokens of the answers that have a count."""
    counted = chosen.filter(pc.greater(pc.fill_null(chosen.column("output_tokens"), 0), 0))
    return _counts(counted.column("token_source"))


def _ceiling_per_s(manifest: dict[str, Any]) -> float | None:
    """Up to how many chunks a second the client was calibrated, as its manifest has it."""
    ceiling = (manifest["load"].get("calibration") or {}).get("ceiling_tokens_per_s")
    return None if ceiling is None else float(ceiling)


def _rate(count: float, span: window.Window) -> float | None:
    return count / span.length_s if span.length_s > 0 else None


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {item["values"]: item["counts"] for item in pc.value_counts(column).to_pylist()}


def _requests(chosen: pa.Table) -> dict[str, Any]:
    by_status = _counts(chosen.column("status"))
    ok, cancelled = by_status.get(Status.OK, 0), by_status.get(Status.CANCELLED, 0)
    return {
        "total": chosen.num_rows,
        "ok": ok,
        "failed": chosen.num_rows - ok - cancelled,
        "cancelled": cancelled,
        "by_error": _by_error(chosen),
    }


def _by_error(chosen: pa.Table) -> dict[str, int]:
    """Failed requests by kind, most frequent first: `http_error 404: model not found`."""
    not_failed = pa.array([Status.OK.value, Status.CANCELLED.value])
    failed = chosen.filter(pc.invert(pc.is_in(chosen.column("status"), not_failed)))
    kinds = failed.group_by(["status", "http_status", "error"]).aggregate([([], "count_all")])
    merged: dict[str, int] = {}
    for kind in sorted(kinds.to_pylist(), key=lambda kind: -kind["count_all"]):
        code = f" {kind['http_status']}" if kind["http_status"] is not None else ""
        text = f": {kind['error'][:MAX_ERROR_TEXT]}" if kind["error"] else ""
        name = f"{kind['status']}{code}{text}"
        if name not in merged and len(merged) >= MAX_ERROR_KINDS:
            name = OTHER_ERRORS
        merged[name] = merged.get(name, 0) + kind["count_all"]
    return merged


def _goodput(
    chosen: pa.Table,
    counts: dict[str, Any],
    manifest: dict[str, Any],
    span: window.Window,
    *,
    open_loop: bool,
) -> dict[str, float | None]:
    """Goodput and attainment; of the finished requests, the failed ones counted as missed.

    A request cancelled when the run ended is not finished and stands on neither side.
    """
    asked = slo.Slo.from_dict(manifest.get("slo"))
    if not asked.asked:
        return {"goodput_rps": None, "slo_attainment": None}
    good = int(slo.met(chosen, asked, from_schedule=open_loop).sum())
    finished = counts["ok"] + counts["failed"]
    return {
        "goodput_rps": _rate(good, span),
        "slo_attainment": good / finished if finished else None,
    }


def _client(records: pa.Table, client: ClientStats | None) -> dict[str, Any]:
    clocks = _counts(records.column("clock"))
    chunks = int(pc.sum(records.column("chunks")).as_py() or 0)
    if client is None:
        _, flying = in_flight(records)
        most, cpu_s = int(flying.max(initial=0)), None
    else:
        most, cpu_s = client.max_in_flight, client.cpu_s
    return {
        "cpu_s": cpu_s,
        "cpu_us_per_chunk": cpu_s * 1e6 / chunks if cpu_s is not None and chunks else None,
        "max_in_flight": most,
        "clock": next(iter(clocks)) if len(clocks) == 1 else ("mixed" if clocks else None),
    }
