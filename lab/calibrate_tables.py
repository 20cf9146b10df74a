"""What `lab calibrate` shows: a table a level, and the ceiling in words."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from lab.calibrate_level import SERVER_LATE_S, Ceiling, Compared, Level, ceiling

VERDICT_STYLE = {"valid": "green", "suspect": "yellow", "invalid": "red"}
QUANTITIES = (
    ("TTFT p50", "ttft_p50"),
    ("TTFT p99", "ttft_p99"),
    ("chunk gap p50", "gap_p50"),
    ("chunk gap p99", "gap_p99"),
)


def print_level(console: Console, level: Level) -> None:
    """One level: what was true, what was measured, by how much they differ."""
    processes = f", {level.processes} processes" if level.processes > 1 else ""
    console.print(
        f"\n[bold]{level.streams} streams[/bold]{processes}: {level.tokens_per_s:,.0f} tokens/s, "
        f"{level.requests} answers compared"
        + (f", {level.unmatched} not" if level.unmatched else "")
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in ("true", "measured", "error", ""):
        table.add_column(name, justify="right")
    for title, name in QUANTITIES:
        table.add_row(title, *_cells(getattr(level, name)))
    console.print(table)
    cpu = level.cpu_us_per_chunk
    console.print(
        f"largest TTFT error of one request {_ms(level.worst_ttft_error_s, sign=True)}; "
        f"client {'?' if cpu is None else f'{cpu:.1f}'} µs of CPU a chunk; "
        f"server at most {_ms(level.server_late_p99_s)} behind its plan at its p99"
    )
    style = VERDICT_STYLE[level.verdict]
    reasons = f": {'; '.join(level.reasons)}" if level.reasons else ""
    console.print(f"client [{style}]{level.verdict}[/{style}]", end="")
    console.print(reasons, markup=False)


def print_ceiling(console: Console, levels: Sequence[Level]) -> None:
    """Up to which token rate this client can be believed, and what came first above it."""
    found = ceiling(levels)
    processes = levels[0].processes
    who = "one process" if processes == 1 else f"{processes} processes"
    if found.tokens_per_s:
        told = f"ceiling of {who} here: {found.tokens_per_s:,.0f} tokens/s"
    else:
        told = f"{who} here: not even the lowest level held"
    console.print(f"\n[bold]{told}[/bold] (TTFT within 1% or 1 ms of the truth); {_why(found)}.")


def _why(found: Ceiling) -> str:
    if found.limit == "server":
        return (
            f"at the highest level the server fell more than {_ms(SERVER_LATE_S)} behind its own "
            "plan: this machine has no room for both, and more was not to be had"
        )
    if found.limit is None:
        return "the highest level tried held, so it may be higher"
    if found.tokens_per_s:
        return "the next level did not hold"
    return "see whether other work is on this machine, or try a lower level"


def _cells(compared: Compared) -> tuple[str, str, str, str]:
    share = compared.error_s / compared.true_s if compared.true_s else 0.0
    return (
        _ms(compared.true_s),
        _ms(compared.measured_s),
        _ms(compared.error_s, sign=True),
        f"{share:+.2%}",
    )


def _ms(seconds: float, *, sign: bool = False) -> str:
    return f"{seconds * 1e3:{'+' if sign else ''}.2f} ms"
