"""The table at the end of a run."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

_ROWS = (
    ("ttft_s", "TTFT"),
    ("ttft_from_schedule_s", "TTFT from schedule"),
    ("itl_s", "ITL"),
    ("chunk_gap_s", "chunk gap"),
    ("tpot_s", "TPOT"),
    ("e2e_s", "E2E"),
    ("schedule_delay_s", "start delay"),
)
_FROM_SCHEDULE = ("ttft_from_schedule_s", "schedule_delay_s")
_COLUMNS = ("count", "mean", "p50", "p90", "p95", "p99", "p999", "max")


def print_report(path: Path, summary: dict[str, Any]) -> None:
    """Print what a run found and where it is kept."""
    console = Console(width=100)
    requests, client = summary["requests"], summary["client"]
    table = Table(title=f"{path.name}: latency in milliseconds", title_justify="left")
    table.add_column("")
    for name in _COLUMNS:
        table.add_column("p99.9" if name == "p999" else name, justify="right")
    # Without a schedule, what is counted from it says nothing new.
    left_out = _FROM_SCHEDULE if summary["offered_rps"] is None else ()
    for key, title in _ROWS:
        row = summary[key]
        if row["count"] and key not in left_out:
            table.add_row(title, str(row["count"]), *(_ms(row.get(c)) for c in _COLUMNS[1:]))
    console.print()
    console.print(table)
    console.print(
        f"requests {requests['total']}: ok {requests['ok']}, failed {requests['failed']}, "
        f"cancelled {requests['cancelled']} | {_rates(summary)}",
        highlight=False,
    )
    for error, count in requests["by_error"].items():
        console.print(f"  {count} x {error}", markup=False, highlight=False)
    console.print(f"client: {client['verdict']}, clock {client['clock']}", highlight=False)
    for reason in client["reasons"]:
        console.print(f"  {reason}", markup=False, highlight=False)
    console.print(f"run: {path}", markup=False, highlight=False, soft_wrap=True)


def _rates(summary: dict[str, Any]) -> str:
    parts = [
        (name, summary[key], unit)
        for name, key, unit in (
            ("offered", "offered_rps", "req/s"),
            ("achieved", "achieved_rps", "req/s"),
            ("goodput", "goodput_rps", "req/s"),
            ("output", "output_tokens_per_s", "tokens/s"),
        )
    ]
    return ", ".join(f"{name} {value:.2f} {unit}" for name, value, unit in parts if value)


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.2f}"
