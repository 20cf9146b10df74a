"""Runs in the terminal, alone or side by side: the tables of the dashboard's Compare page."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dashboard import compare_tables, engine_side, units
from dashboard import runs as runs_kept
from dashboard.quantities import QUANTITIES
from dashboard.runs import prepare
from lab.errors import LabError
from measure.compare import compare
from measure.store import Run, open_run
from servers import catalog

LETTERS = "abcdefgh"
MOST_RUNS = len(LETTERS)
VERDICT_STYLE = {"valid": "green", "suspect": "yellow", "invalid": "red"}
TITLES = {quantity.key: quantity.title for quantity in QUANTITIES} | {
    "schedule_delay_s": "Schedule delay"
}
# In a closed loop the schedule is the users' own pace: these only repeat the others.
OPEN_LOOP_ONLY = ("ttft_from_schedule_s", "schedule_delay_s")


def find_run(text: str) -> Run:
    """A run by folder or by id (a unique beginning or end of it is enough)."""
    folder = Path(text)
    if folder.is_dir():
        return open_run(folder)
    root = runs_kept.root()
    known = sorted(p.name for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    hits = [n for n in known if n == text] or [
        n for n in known if n.startswith(text) or n.endswith(text)
    ]
    if len(hits) == 1:
        return open_run(root / hits[0])
    why = f"{len(hits)} runs fit: {', '.join(hits)}" if hits else f"nothing in {root} is called so"
    latest = f" The latest runs are {', '.join(known[-3:])}." if known and not hits else ""
    raise LabError(f"Cannot tell which run '{text}' is: {why}.{latest}")


def print_run(console: Console, run: Run) -> None:
    """One run: what was achieved, every latency, and what to think of the client."""
    summary = run.summary
    counts = summary["requests"]
    tokens = units.show(summary["output_tokens_per_s"], "tok/s")
    rates = f"{units.show(summary['achieved_rps'], 'rps')} achieved"
    if summary["offered_rps"] is not None:
        rates = f"{units.show(summary['offered_rps'], 'rps')} offered, {rates}"
    console.print(
        f"\nrun {run.run_id}: {counts['ok']} answered, {counts['failed']} failed, "
        f"{counts['cancelled']} cancelled in {units.seconds(summary['window_s'])}; "
        f"{rates}" + (f", {tokens}" if summary["output_tokens_per_s"] else ""),
        markup=False,
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for column in ("count", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"):
        table.add_column(column, justify="right")
    closed = run.manifest["load"]["arrival"]["kind"] == "closed"
    for key, title in TITLES.items():
        line = summary[key]
        in_one_piece = key == "ttft_s" and not summary["chunk_gap_s"]["count"]
        if line["count"] and not (closed and key in OPEN_LOOP_ONLY) and not in_one_piece:
            cells = [line[c] for c in ("mean", "p50", "p90", "p95", "p99", "p999", "max")]
            table.add_row(title, str(line["count"]), *(units.show(cell, "s") for cell in cells))
    console.print(table)
    if summary["slo_attainment"] is not None:
        asked = ", ".join(f"{k} {units.show(v, 's')}" for k, v in run.manifest["slo"].items() if v)
        console.print(
            f"SLO ({asked}): {units.show(summary['slo_attainment'], 'ratio')} of requests met it, "
            f"goodput {units.show(summary['goodput_rps'], 'rps')}",
            markup=False,
        )
    for text, count in counts["by_error"].items():
        console.print(f"  {count} x {text}", markup=False, style="red")
    print_verdict(console, run)
    console.print(f"folder: {run.path}", markup=False)


def print_verdict(console: Console, run: Run) -> None:
    """Whether the client itself can be believed."""
    client = run.summary["client"]
    line = Text("client: ")
    line.append(client["verdict"], style=VERDICT_STYLE[client["verdict"]])
    if client["reasons"]:
        line.append(" (" + "; ".join(client["reasons"]) + ")")
    console.print(line)


def print_comparison(console: Console, runs: Sequence[Run]) -> None:
    """Runs side by side: the client's numbers, what differs, the engines' own numbers."""
    comparison = compare(runs)
    names = [f"({LETTERS[place]})" for place in range(len(runs))]
    console.print()
    for name, run in zip(names, runs, strict=True):
        console.print(f"{name} {run.run_id}", markup=False)
    for heading, frame in (
        ("\nWhat differs in engine and load", compare_tables.settings(comparison, names)),
        ("\nMeasured at the client, with 95% intervals", compare_tables.numbers(comparison, names)),
    ):
        console.print(heading, style="bold")
        console.print(_table(frame) if not frame.empty else "nothing")
    loaded = [prepare(run) for run in runs]
    lines, notes = compare_tables.engine_numbers(loaded, names, catalog.ENGINES)
    console.print("\nMeasured in the engine (its histograms give bounds, not points)", style="bold")
    console.print(_table(lines) if not lines.empty else "nothing the lab has a histogram of")
    if not lines.empty:
        console.print(engine_side.NOTE, style="dim")
    for note in (*notes, *(f"warning: {warning}" for warning in comparison.warnings)):
        console.print(note, markup=False, style="yellow")


def _table(frame: pd.DataFrame) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in frame.columns:
        table.add_column(str(column), justify="left" if column == "" else "right", overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(str(cell)) for cell in row))
    return table
