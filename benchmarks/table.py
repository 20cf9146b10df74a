"""Results as Markdown. Pure. Of several repetitions the median of the errors is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median

from benchmarks.contract import Tool
from benchmarks.results import Measured, Result, of
from lab.calibrate_level import SERVER_LATE_S

# A tool that holds fewer of the streams asked for puts another load on the server.
FULL = 0.9


def overview(tools: Sequence[Tool], levels: Sequence[int], results: Sequence[Result]) -> str:
    """One row a tool, one column a level: errors of TTFT, the gap's p99 (and the true), CPU."""
    head = ["closed loop", *(f"{streams:,} streams{_rate(results, streams)}" for streams in levels)]
    rows = [
        [_title(tool), *(_cell(tool, of(results, tool.key, streams)) for streams in levels)]
        for tool in tools
    ]
    return _markdown(head, rows)


def details(tools: Sequence[Tool], streams: int, results: Sequence[Result]) -> str:
    """One level in full: reported and true, streams held, how late the server was."""
    head = [
        *("", "requests", "TTFT p50", "TTFT p99", "time between tokens p50", "p99", "kind"),
        *("CPU a token", "streams held", "server late p99"),
    ]
    rows = []
    for tool in tools:
        found = of(results, tool.key, streams)
        good = [each.measured for each in found if each.measured is not None]
        if not good:
            rows.append([_title(tool), _failure(found), *[""] * 8])
            continue
        rows.append(
            [
                _title(tool),
                f"{_mid(good, lambda m: m.reported.requests):,.0f}",
                _against(good, "ttft_p50_s", 0),
                _against(good, "ttft_p99_s", 0),
                _against(good, "gap_p50_s", 2),
                _against(good, "gap_p99_s", 2),
                tool.gap,
                f"{_mid(good, lambda m: m.cpu_us_per_token):.0f} µs",
                f"{_mid(good, lambda m: m.streams_mean):,.0f}",
                f"{_mid(good, lambda m: m.server_late_p99_s) * 1e3:.1f} ms",
            ]
        )
    return _markdown(head, rows)


def line(result: Result) -> str:
    """One result for the terminal, while the others still run."""
    measured = result.measured
    if measured is None:
        return f"failed after {result.took_s:.0f} s: {result.error}"
    reported, true = measured.reported, measured.true
    return (
        f"TTFT p50 {_error([measured], 'ttft_p50_s')} p99 {_error([measured], 'ttft_p99_s')}, "
        f"gap p99 {reported.gap_p99_s * 1e3:.1f} ms (true {true.gap_p99_s * 1e3:.1f}), "
        f"{measured.cpu_us_per_token:.0f} µs a token, {measured.tokens_per_s:,.0f} tokens/s, "
        f"{measured.streams_mean:,.0f} streams, server late p99 "
        f"{measured.server_late_p99_s * 1e3:.1f} ms ({result.took_s:.0f} s)"
    )


def _cell(tool: Tool, found: Sequence[Result]) -> str:
    good = [each.measured for each in found if each.measured is not None]
    if not good:
        return _failure(found)
    reported = _mid(good, lambda m: m.reported.gap_p99_s) * 1e3
    true = _mid(good, lambda m: m.true.gap_p99_s) * 1e3
    kind = "" if tool.gap == "chunk gap" else f"{tool.gap} "
    text = (
        f"{_error(good, 'ttft_p50_s')} / {_error(good, 'ttft_p99_s')} · "
        f"{kind}{reported:.1f} ms ({true:.1f}) · {_mid(good, lambda m: m.cpu_us_per_token):.0f} µs"
    )
    held = _mid(good, lambda m: m.streams_mean / found[0].streams)
    if held < FULL:
        text += f" · held {held:.0%} of the streams"
    late_s = _mid(good, lambda m: m.server_late_p99_s)
    if late_s > SERVER_LATE_S:
        text += f" · starves the server ({late_s * 1e3:.0f} ms late)"
    if len(good) < len(found):
        text += f" · {len(found) - len(good)} of {len(found)} runs failed"
    return text


def _failure(found: Sequence[Result]) -> str:
    return f"failed: {found[-1].error}" if found else "not run"


def _title(tool: Tool) -> str:
    note = f" ({tool.note})" if tool.note else ""
    return f"{tool.title}{'' if tool.setting == 'default' else ', ' + tool.setting}{note}"


def _mid(measured: Sequence[Measured], what: Callable[[Measured], float]) -> float:
    return float(median(what(each) for each in measured))


def _error(measured: Sequence[Measured], name: str) -> str:
    """Reported over true, less one, in percent; one decimal where that says something."""
    ratio = _mid(measured, lambda m: getattr(m.reported, name) / getattr(m.true, name) - 1)
    text = f"{ratio:+.0%}" if abs(ratio) >= 0.0995 else f"{ratio:+.1%}"
    return "0%" if text in ("+0.0%", "-0.0%") else text.replace("-", "−")


def _against(measured: Sequence[Measured], name: str, digits: int) -> str:
    """`reported (true)` in milliseconds."""
    reported = _mid(measured, lambda m: getattr(m.reported, name)) * 1e3
    true = _mid(measured, lambda m: getattr(m.true, name)) * 1e3
    return f"{reported:,.{digits}f} ({true:,.{digits}f}) ms"


def _rate(results: Sequence[Result], streams: int) -> str:
    rates = [r.measured.tokens_per_s for r in results if r.measured and r.streams == streams]
    return f" ({max(rates) / 1000:.0f}k tokens/s)" if rates else ""


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in lines
    )
