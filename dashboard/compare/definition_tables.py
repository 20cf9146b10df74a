"""One run under the definitions of other tools, as a table of text and the reasons. Pure."""

from collections.abc import Sequence

import pandas as pd

from dashboard import units
from dashboard.quantities import LEVEL_TITLES, quantity
from dashboard.told import told
from dashboard.units import Unit
from dashboard.words import t
from measure.rosetta import Line, Reading

OURS = "this lab"
NOTE = (
    "The requests of this run's window, read by each tool's rules. same: the tool would have "
    "given our number. ≤: it would have given this or less. –: it has no such number, or the "
    "sample cannot carry it."
)
_RATES = {
    "output_tokens_per_s": "Output tokens",
    "requests_per_s": "Requests",
    "goodput_rps": "Goodput",
    "slo_attainment": "SLO attainment",
    "error_rate": "Error rate",
}
_UNITS: dict[str, Unit] = {"s": "s", "tokens/s": "tok/s", "requests/s": "rps", "ratio": "ratio"}


def table(lines: Sequence[Line]) -> pd.DataFrame:
    """A line for each number, a column for each tool."""
    rows = []
    for line in lines:
        if line.ours is None and all(reading.value is None for reading in line.readings):
            continue
        unit = _UNITS[line.unit]
        cells = {reading.tool: _cell(reading, unit) for reading in line.readings}
        rows.append({"": _title(line), told(OURS): units.show(line.ours, unit)} | cells)
    return pd.DataFrame(rows)


def why(lines: Sequence[Line]) -> list[str]:
    """Every difference in a sentence: whose, of which numbers, and what it is."""
    found: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for line in lines:
        for reading in line.readings:
            if line.ours is None and reading.value is None:
                continue
            for reason in reading.why:
                tools, names = found.setdefault(reason, ({}, {}))
                tools[reading.tool] = names[told(_name(line.metric))] = None
    return [
        f"{', '.join(tools)} ({', '.join(names)}): {told(reason)}."
        for reason, (tools, names) in found.items()
    ]


def _cell(reading: Reading, unit: Unit) -> str:
    if reading.same:
        return t("same")
    shown = units.show(reading.value, unit)
    return f"≤ {shown}" if reading.at_most and reading.value is not None else shown


def _title(line: Line) -> str:
    name = _name(line.metric)
    if line.level is None:
        return told(name)
    return told(f"{name} {LEVEL_TITLES.get(line.level, line.level)}")


def _name(metric: str) -> str:
    known = quantity(metric)
    return known.title if known else _RATES[metric]
