"""Any number of several runs against any other, a point a run. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa

from dashboard import engine_side, text, units
from dashboard.compare.tables import UNITS, row_title
from dashboard.figures import common, ticks
from dashboard.theme import Line
from dashboard.told import told
from dashboard.units import Unit
from measure.compare import Cell, Comparison
from measure.errors import MeasureError
from measure.server_timeline import gauge
from measure.store import Run
from servers.contract import Engine

HEIGHT = 360
_MOST_LABELS = 3
PEAK_MEMORY = "Peak memory"
_MEMORY = "lab_instance_memory_bytes"
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon")


@dataclass(frozen=True)
class Axis:
    """One number of all runs, in their order. `title` is also what an address calls it."""

    title: str
    unit: Unit
    cells: tuple[Cell, ...]

    @property
    def known(self) -> int:
        """How many runs have it."""
        return sum(cell.value is not None for cell in self.cells)


@dataclass(frozen=True)
class Called:
    """A run as the figure calls it: in full, in short, and how it is drawn."""

    name: str
    short: str
    line: Line


def axes(
    comparison: Comparison, runs: Sequence[Run], engines: Mapping[str, Engine]
) -> dict[str, Axis]:
    """Every number that some run has, by its title: the client's, then batches and memory."""
    found = [
        Axis(row_title(row, comparison.titles), UNITS[row.unit], row.cells)
        for row in comparison.rows
    ]
    found += _of_the_engines(runs, engines)
    return {axis.title: axis for axis in found if axis.known}


def defaults(known: Mapping[str, Axis]) -> tuple[str, str]:
    """What to draw at first: latency against throughput, of what most runs have."""
    rates = [title for title in ("Output tokens", "Answered", "Sent") if title in known]
    seconds = [title for title, axis in known.items() if axis.unit == "s"]
    most = max((known[title].known for title in seconds), default=0)
    tails = [t for t in seconds if t.endswith(" p99") and known[t].known == most]
    middles = [t for t in seconds if t.endswith(" p50")]
    titles = list(known)
    return (rates or titles)[0], (tails or middles or titles)[0]


def _of_the_engines(runs: Sequence[Run], engines: Mapping[str, Engine]) -> list[Axis]:
    found: dict[str, tuple[Unit, dict[int, Cell]]] = {}
    for place, run in enumerate(runs):
        try:
            kept = run.server_metrics
        except MeasureError:
            continue
        if kept is None:
            continue
        engine = engines.get(str(run.manifest["engine"].get("name")))
        for title, mean in engine_side.mean_batches(
            kept, engine.metrics if engine else (), run.window
        ):
            found.setdefault(title, ("count", {}))[1][place] = Cell(mean)
        peak = _peak_memory_bytes(kept, run)
        if peak is not None:
            found.setdefault(PEAK_MEMORY, ("bytes", {}))[1][place] = Cell(peak)
    return [
        Axis(title, unit, tuple(cells.get(place, Cell(None)) for place in range(len(runs))))
        for title, (unit, cells) in found.items()
    ]


def _peak_memory_bytes(kept: pa.Table, run: Run) -> float | None:
    """The most that the engine's processes held in the window, pages they share counted once."""
    engine, span = run.manifest["engine"], run.window
    instance = str(engine.get("instance") or engine.get("name"))
    for kind in ("pss", "rss"):
        times_s, held = gauge(kept, _MEMORY, {"instance": instance, "kind": kind})
        inside = held[(times_s >= span.start_s) & (times_s <= span.end_s)]
        if inside.size:
            return float(inside.max())
    return None


def figure(called: Sequence[Called], x: Axis, y: Axis) -> go.Figure:
    """A point a run, its 95% intervals as whiskers; runs without either number are left out.

    Few are named beside their points; the names of many would lie on each other.
    """
    many = len(called) > _MOST_LABELS
    drawn = go.Figure(layout=common(HEIGHT, legend=many))
    left, right = -0.05 * _highest(x), 1.1 * _highest(x)
    for place, one in enumerate(called):
        across, up = x.cells[place], y.cells[place]
        if across.value is None or up.value is None:
            continue
        colour = one.line.colour
        words = [_words(axis, axis.cells[place]) for axis in (x, y)]
        drawn.add_scatter(
            x=[across.value],
            y=[up.value],
            error_x=_whiskers(across, colour),
            error_y=_whiskers(up, colour),
            name=text.figure(one.short),
            mode="markers" if many else "markers+text",
            text=[text.figure(one.short)],
            textposition=_beside((across.value - left) / (right - left), place),
            textfont={"size": 12},
            cliponaxis=False,
            marker={
                "color": colour,
                "size": 11,
                "symbol": _SYMBOLS[place % len(_SYMBOLS)],
            },
            hovertext=["<br>".join([text.figure(one.name), *words])],
            hovertemplate="%{hovertext}<extra></extra>",
        )
    drawn.update_layout(hovermode="closest")
    for update, axis in ((drawn.update_xaxes, x), (drawn.update_yaxes, y)):
        update(
            title={"text": text.figure(f"{told(axis.title)}, {told(units.TITLES[axis.unit])}")},
            showgrid=True,
            zeroline=True,
            **ticks(axis.unit),
        )
    # Points on an axis are whole, and names above and below them have room.
    drawn.update_yaxes(range=[-0.1 * _highest(y), 1.16 * _highest(y)])
    drawn.update_xaxes(range=[left, right])
    return drawn


def _beside(across: float, place: int) -> str:
    """Where a name stands: above or below its point in turn, and off the figure's edges."""
    side = "right" if across < 0.15 else "left" if across > 0.85 else "center"
    return f"{'top' if place % 2 == 0 else 'bottom'} {side}"


def left_out(called: Sequence[Called], x: Axis, y: Axis) -> list[str]:
    """The runs that lack one of the two numbers."""
    return [
        one.name
        for place, one in enumerate(called)
        if x.cells[place].value is None or y.cells[place].value is None
    ]


def numbers(called: Sequence[Called], x: Axis, y: Axis) -> pd.DataFrame:
    """What the figure draws, a row a run."""
    rows = []
    for place, one in enumerate(called):
        line: dict[str, Any] = {"run": one.name}
        for which, axis in (("x", x), ("y", y)):
            cell, words = axis.cells[place], f"{which}: {axis.title} ({units.TITLES[axis.unit]})"
            low, high = cell.ci95 or (None, None)
            line |= {words: cell.value, f"{words}, low": low, f"{words}, high": high}
        rows.append(line)
    return pd.DataFrame(rows)


def _words(axis: Axis, cell: Cell) -> str:
    shown = f"{text.figure(told(axis.title))}: {units.show(cell.value, axis.unit)}"
    return f"{shown} [{units.between(*cell.ci95, axis.unit)}]" if cell.ci95 else shown


def _whiskers(cell: Cell, colour: str) -> dict[str, Any]:
    if cell.ci95 is None or cell.value is None:
        return {"visible": False}
    return {
        "type": "data",
        "symmetric": False,
        "array": [cell.ci95[1] - cell.value],
        "arrayminus": [cell.value - cell.ci95[0]],
        "color": colour,
        "thickness": 1.5,
    }


def _highest(axis: Axis) -> float:
    edges = [edge for cell in axis.cells if cell.ci95 for edge in cell.ci95]
    return max([*edges, *(cell.value for cell in axis.cells if cell.value is not None)]) or 1.0
