"""What the terminal shows: facts in, rich tables out."""

import time
from collections.abc import Sequence

import pandas as pd
import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dashboard import compare_tables, units
from dashboard.quantities import QUANTITIES
from dashboard.runs import prepare
from lab.doctor import Check
from measure.compare import compare
from measure.store import Run
from servers import catalog, instances, knobs
from servers.contract import Engine
from servers.instances import Instance

STATE_STYLE = {"running": "green", "starting": "yellow", "unhealthy": "red", "dead": "red"}
CHECK_STYLE = {"ok": "green", "note": "yellow", "missing": "red"}
VERDICT_STYLE = {"valid": "green", "suspect": "yellow", "invalid": "red"}
TITLES = {quantity.key: quantity.title for quantity in QUANTITIES} | {
    "schedule_delay_s": "Schedule delay"
}


def instances_table(found: Sequence[Instance]) -> Table:
    """`lab ps`: every instance as it is now."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "engine", "state", "address", "model", "memory", "up", "settings"):
        table.add_column(column, justify="right" if column in ("memory", "up") else "left")
    for one in found:
        state = instances.status(one)
        table.add_row(
            one.name,
            f"{one.engine} {one.version or ''}".strip(),
            Text(state, style=STATE_STYLE[state]),
            one.base_url,
            one.served_name if one.model else "",
            units.show(_memory_bytes(one), "bytes"),
            units.seconds(max(time.time() - one.started_s, 0.0)),
            ", ".join(settings_changed(one)),
        )
    if not found:
        table.add_row("nothing runs; `lab up vllm` starts an engine")
    return table


def settings_changed(instance: Instance) -> list[str]:
    """The knobs that are not at their defaults, as `--set` would take them."""
    engine = catalog.ENGINES.get(instance.engine)
    return [
        f"{name}={knobs.show(value)}"
        for name, value in instance.settings.items()
        if engine is None or (knob := engine.knob(name)) is None or knob.default != value
    ]


def knobs_table(engine: Engine) -> Table:
    """`lab knobs`: what can be set, what the engine itself calls it, what it trades."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("knob", "default", "takes", "in the engine", "what it trades"):
        table.add_column(column, overflow="fold")
    for knob in engine.knobs:
        table.add_row(
            knob.name, knobs.show(knob.default), knobs.describe(knob), knob.flag, knob.trades
        )
    return table


def doctor_table(checks: Sequence[Check]) -> Table:
    """`lab doctor`: one line a check."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("what", "", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for check in checks:
        state = Text(check.state, style=CHECK_STYLE[check.state])
        table.add_row(check.what, state, check.found, check.advice)
    return table


def print_run(console: Console, run: Run) -> None:
    """One run: what was achieved, every latency, and what to think of the client."""
    summary = run.summary
    counts = summary["requests"]
    console.print(
        f"\nrun {run.run_id}: {counts['ok']} answered, {counts['failed']} failed, "
        f"{counts['cancelled']} cancelled in {units.seconds(summary['window_s'])}; "
        f"{units.show(summary['achieved_rps'], 'rps')} achieved, "
        f"{units.show(summary['output_tokens_per_s'], 'tok/s')}",
        markup=False,
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for column in ("count", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"):
        table.add_column(column, justify="right")
    for key, title in TITLES.items():
        line = summary[key]
        if line["count"]:
            cells = [line[c] for c in ("mean", "p50", "p90", "p95", "p99", "p999", "max")]
            table.add_row(title, str(line["count"]), *(units.show(cell, "s") for cell in cells))
    console.print(table)
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


def _memory_bytes(instance: Instance) -> float | None:
    """Memory of all its processes, shared pages counted once (PSS); `None` if none can be read."""
    total = 0
    for member in instances.members(instance):
        try:
            total += psutil.Process(member.pid).memory_full_info().pss
        except (psutil.Error, AttributeError):
            continue
    return float(total) or None


def print_comparison(console: Console, runs: Sequence[Run]) -> None:
    """Runs side by side: the client's numbers, what differs, the engines' own numbers."""
    comparison = compare(runs)
    names = [f"({'abcdefgh'[place]})" for place in range(len(runs))]
    console.print()
    for name, run in zip(names, runs, strict=True):
        console.print(f"{name} {run.run_id}", markup=False)
    for heading, frame in (
        ("\nWhat differs in engine and load", compare_tables.settings(comparison, names)),
        ("\nMeasured at the client, with 95% intervals", compare_tables.numbers(comparison, names)),
    ):
        console.print(heading, style="bold")
        console.print(_table(frame))
    loaded = [prepare(run) for run in runs]
    lines, notes = compare_tables.engine_numbers(loaded, catalog.ENGINES)
    console.print("\nMeasured in the engine (its histograms give bounds, not points)", style="bold")
    console.print(_table(lines))
    for note in (*notes, *(f"warning: {warning}" for warning in comparison.warnings)):
        console.print(note, markup=False, style="yellow")


def _table(frame: pd.DataFrame) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in frame.columns:
        table.add_column(str(column), justify="left" if column == "" else "right", overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(str(cell)) for cell in row))
    return table
