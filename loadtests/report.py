"""The table at the end of a run."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from measure import table


def print_report(path: Path, summary: dict[str, Any]) -> None:
    """Print what a run found and where it is kept."""
    console = Console(width=100)
    client = summary["client"]
    shown = Table(title=f"{path.name}: latency in milliseconds", title_justify="left")
    shown.add_column("")
    for name in ("count", *table.COLUMNS.values()):
        shown.add_column(name, justify="right")
    for row in table.latency_rows(summary):
        shown.add_row(row.title, str(row.count), *map(_ms, row.values_s.values()))
    console.print()
    console.print(shown)
    figures = (f"{rate.title} {rate.value:.2f} {rate.unit}" for rate in table.rates(summary))
    console.print(f"{table.outcome(summary)} | {', '.join(figures)}", highlight=False)
    for note in (table.warmup(summary), table.too_few(summary)):
        if note is not None:
            console.print(note, markup=False, highlight=False)
    for error, count in summary["requests"]["by_error"].items():
        console.print(f"  {count} x {error}", markup=False, highlight=False)
    console.print(f"client: {client['verdict']}, clock {client['clock']}", highlight=False)
    for reason in client["reasons"]:
        console.print(f"  {reason}", markup=False, highlight=False)
    console.print(f"run: {path}", markup=False, highlight=False, soft_wrap=True)


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1000:.2f}"
