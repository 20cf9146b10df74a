"""Runs in the terminal, alone or side by side: the tables of the dashboard's Compare page."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dashboard import engine_side, units
from dashboard import runs as runs_kept
from dashboard.compare import definition_tables, differences, tables
from lab.batch_run import OFFLINE
from lab.errors import LabError
from measure import table
from measure.compare import compare, distributions
from measure.rosetta import definitions
from measure.store import Run, open_run
from servers import catalog

LETTERS = "abcdefgh"
MOST_RUNS = len(LETTERS)
VERDICT_STYLE = {"valid": "green", "suspect": "yellow", "invalid": "red"}
RATE_UNITS: dict[str, units.Unit] = {"requests/s": "rps", "tokens/s": "tok/s"}


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
    figures = ", ".join(
        f"{units.show(rate.value, RATE_UNITS[rate.unit])} {rate.title}"
        for rate in table.rates(summary)
    )
    console.print(
        f"\nrun {run.run_id}: {table.outcome(summary)} in {units.seconds(summary['window_s'])}; "
        f"{figures}",
        markup=False,
    )
    rows = table.latency_rows(summary)
    console.print(_latencies(rows) if rows else "no request was answered: there is no latency")
    for note in (table.warmup(summary), table.too_few(summary)):
        if note is not None:
            console.print(note, markup=False, style="dim")
    if summary["slo_attainment"] is not None:
        asked = ", ".join(f"{k} {units.show(v, 's')}" for k, v in run.manifest["slo"].items() if v)
        console.print(
            f"SLO ({asked}): {units.show(summary['slo_attainment'], 'ratio')} of requests met it, "
            f"goodput {units.show(summary['goodput_rps'], 'rps')}",
            markup=False,
        )
    for text, count in summary["requests"]["by_error"].items():
        console.print(f"  {count} x {text}", markup=False, style="red")
    print_verdict(console, run)
    console.print(f"folder: {run.path}", markup=False)


def _latencies(rows: Sequence[table.LatencyRow]) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("", no_wrap=True)
    for column in ("count", *table.COLUMNS.values()):
        shown.add_column(column, justify="right")
    for row in rows:
        cells = (units.show(value_s, "s") for value_s in row.values_s.values())
        shown.add_row(row.title, str(row.count), *cells)
    return shown


def print_verdict(console: Console, run: Run) -> None:
    """Whether the client itself can be believed."""
    if run.manifest["load"]["protocol"] == OFFLINE:
        console.print("client: none")
        return
    client = run.summary["client"]
    line = Text("client: ")
    line.append(client["verdict"], style=VERDICT_STYLE[client["verdict"]])
    if client["reasons"]:
        line.append(" (" + "; ".join(client["reasons"]) + ")")
    console.print(line)


def print_comparison(console: Console, runs: Sequence[Run]) -> None:
    """Runs side by side: the client's numbers, what differs, the engines' own numbers."""
    known = [distributions(run) for run in runs]
    comparison = compare(runs, known=known)
    names = [f"({LETTERS[place]})" for place in range(len(runs))]
    console.print()
    for name, run in zip(names, runs, strict=True):
        console.print(f"{name} {run.run_id}", markup=False)
    heads = _heads(names, runs)
    for heading, frame in (
        (
            "\nWhat differs in engine and load",
            differences.table(comparison, heads, catalog.ENGINES),
        ),
        ("\nMeasured at the client, with 95% intervals", tables.numbers(comparison, heads)),
        (
            f"\nHow often a request is slower than one of {names[0]}, over all pairs",
            tables.chances(comparison, known, names),
        ),
    ):
        console.print(heading, style="bold")
        _print_table(console, frame)
    lines, notes = tables.engine_numbers(runs, names, catalog.ENGINES)
    console.print("\nMeasured in the engine (its histograms give bounds, not points)", style="bold")
    if lines.empty:
        console.print("nothing the lab has a histogram of")
    else:
        _print_table(console, lines)
        console.print(engine_side.NOTE, style="dim")
    for note in (*notes, *(f"warning: {warning}" for warning in comparison.warnings)):
        console.print(note, markup=False, style="yellow")


def _heads(names: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """Letters with the instances' names, where these are not all the same, and own titles."""
    engines = [run.manifest["engine"] for run in runs]
    instances = [str(engine.get("instance") or "") for engine in engines]
    if len(set(instances)) == 1:
        instances = [""] * len(runs)
    titles = [catalog.own_title(str(e.get("name")), e.get("title") or "") for e in engines]
    called = [
        ", ".join(word for word in pair if word) for pair in zip(instances, titles, strict=True)
    ]
    return [f"{name} {words}".strip() for name, words in zip(names, called, strict=True)]


def print_definitions(console: Console, runs: Sequence[Run]) -> None:
    """Each run's numbers as other load generators would have given them, and why they differ."""
    sentences: dict[str, None] = {}
    for run in runs:
        lines = definitions(run)
        sentences |= dict.fromkeys(definition_tables.why(lines))
        console.print(f"\n{run.run_id} under the definitions of other tools", style="bold")
        _print_table(console, definition_tables.table(lines))
    console.print(definition_tables.NOTE, style="dim")
    console.print("\nWhere they differ", style="bold")
    for sentence in sentences:
        console.print(f"  {sentence}", markup=False)


def _print_table(console: Console, frame: pd.DataFrame) -> None:
    """The table; where the terminal is too narrow for all columns, some below the others."""
    if frame.empty:
        console.print("nothing")
        return
    first, *others = frame.columns
    room = console.width - _width(frame, first)
    block: list[str] = []
    for column in others:
        if block and sum(_width(frame, one) for one in (*block, column)) > room:
            console.print(_table(frame[[first, *block]]))
            console.print()
            block = []
        block.append(column)
    console.print(_table(frame[[first, *block]]))


def _width(frame: pd.DataFrame, column: str) -> int:
    """What a column takes of a line, its distance to the next included; its title may wrap."""
    return max(cell_len(str(part)) for part in (*column.split(), *frame[column])) + 2


def _table(frame: pd.DataFrame) -> Table:
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in frame.columns:
        head = Text(str(column))
        shown.add_column(head, justify="left" if column == "" else "right", overflow="fold")
    for row in frame.itertuples(index=False):
        shown.add_row(*(Text(str(cell)) for cell in row))
    return shown
