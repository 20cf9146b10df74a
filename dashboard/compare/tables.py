"""Tables of the Compare page, as data frames of text. Pure."""

from collections.abc import Mapping, Sequence

import pandas as pd

from dashboard import engine_side, text, units
from dashboard.engine_side import EngineLine
from dashboard.quantities import LEVEL_TITLES
from dashboard.told import told
from dashboard.units import Unit
from dashboard.words import t
from measure import compare, table
from measure.compare import Cell, Change, Comparison, Distributions, Row
from measure.effect import Larger
from measure.errors import MeasureError
from measure.store import Run, RunInfo
from servers.contract import Engine, Metric

_SCALARS = {
    "requests.total": "Requests",
    "requests.failed": "Failed",
    "requests.cancelled": "Cut off at the end",
    "offered_rps": "Offered",
    "achieved_rps": "Sent",
    "answered_rps": "Answered",
    "goodput_rps": "Goodput",
    "slo_attainment": "SLO attainment",
    "output_tokens_per_s": "Output tokens",
}
UNITS: dict[str, Unit] = {
    "s": "s",
    "requests": "count",
    "requests/s": "rps",
    "tokens/s": "tok/s",
    "ratio": "ratio",
}


def title(info: RunInfo) -> str:
    """A run in a list of choices: its folder, a name someone gave it, whether it is whole.

    Not translated: Streamlit keeps a choice by its words, which must be the same in every language.
    """
    words = text.plain(info.run_id)
    if info.manifest and info.manifest["name"] not in (info.run_id, ""):
        words += f" ({text.plain(info.manifest['name'], 60)})"
    if info.running:
        words += " · running"
    elif not info.finished:
        words += " · unfinished"
    return words


def doubts(run: Run) -> list[str]:
    """What to beware of in one run (of several, `Comparison.warnings` says it)."""
    return [told(one) for one in compare.warnings([run])]


def numbers(comparison: Comparison, names: Sequence[str]) -> pd.DataFrame:
    """Every number of every run with its interval; for two runs also their ratio."""
    rows = []
    for row in _with_values(comparison):
        line = {"": told(row_title(row, comparison.titles))}
        for name, cell in zip(names, row.cells, strict=True):
            line[name] = show(cell, UNITS[row.unit])
        if len(names) == 2:
            column = t("first ÷ second") if comparison.baseline else t("second ÷ first")
            line[column] = _ratio(row.change)
        rows.append(line)
    return pd.DataFrame(rows)


def ratios(comparison: Comparison, names: Sequence[str]) -> pd.DataFrame:
    """Every number of every run over the baseline's, with its interval where there is one."""
    others = [(i, name) for i, name in enumerate(names) if i != comparison.baseline]
    return pd.DataFrame(
        [
            {"": told(row_title(row, comparison.titles))}
            | {name: _ratio(row.changes[place]) or "–" for place, name in others}
            for row in _with_values(comparison)
        ]
    )


def effects(
    found: Sequence[Larger | None], values: Sequence[Row], names: Sequence[str], baseline: int
) -> pd.DataFrame:
    """How each run differs from the baseline in one quantity: a row for each other run.

    `values` are rows of a comparison (p50, p99 …), given as ratios before the chance that a
    request is slower.
    """
    rows = []
    for place, (name, one) in enumerate(zip(names, found, strict=True)):
        if place == baseline:
            continue
        line = {t("Run"): name}
        for row in values:
            line[LEVEL_TITLES.get(str(row.quantile), str(row.quantile))] = (
                _ratio(row.changes[place]) or "–"
            )
        line[t("A request is slower in")] = _chance(one)
        line[t("Cliff's delta")] = f"{one.delta:+.2f}" if one else "–"
        rows.append(line)
    return pd.DataFrame(rows)


def chances(
    comparison: Comparison, known: Sequence[Distributions], names: Sequence[str]
) -> pd.DataFrame:
    """How often a request is slower than one of the baseline: a row for each latency."""
    others = [(i, name) for i, name in enumerate(names) if i != comparison.baseline]
    rows = []
    for metric in dict.fromkeys(row.metric for row in comparison.rows if row.quantile):
        found = compare.effects(metric, known, comparison.baseline)
        cells = {name: _chance(found[place]) for place, name in others}
        rows.append({"": told(comparison.titles[metric])} | cells)
    return pd.DataFrame(rows)


def _chance(found: Larger | None) -> str:
    """The probability of superiority: `83.1 %  [79–86.4 %]  differ`."""
    if found is None:
        return "–"
    words = units.show(found.probability, "ratio")
    if found.ci95 is not None:
        low, high = (f"{100 * edge:.3g}" for edge in found.ci95)
        words += f"  [{low}–{high} %]"
    return words + _verdict(found.apart)


def _with_values(comparison: Comparison) -> list[Row]:
    """The rows in which some run has a value."""
    return [row for row in comparison.rows if any(cell.value is not None for cell in row.cells)]


def numbers_of_one(run: Run) -> pd.DataFrame:
    """The latencies of one run: a line for each quantity, a column for each quantile."""
    rows = []
    for row in table.latency_rows(run.summary):
        line = {"": told(row.title), told("count"): f"{row.count:,}"}
        for level, value_s in row.values_s.items():
            pair = run.summary[row.key]["ci95"].get(level)
            cell = Cell(value_s, (pair[0], pair[1]) if pair else None)
            line[told(table.COLUMNS[level])] = show(cell, "s")
        rows.append(line)
    return pd.DataFrame(rows)


def engine_numbers(
    runs: Sequence[Run], names: Sequence[str], engines: Mapping[str, Engine]
) -> tuple[pd.DataFrame, list[str]]:
    """The engines' own histograms beside the client's numbers, their mean batch, and why none."""
    rows: dict[str, dict[str, str]] = {}
    notes = []
    for run, name in zip(runs, names, strict=True):
        try:
            lines = _engine_lines(run, engines)
            batches = _mean_batches(run, engines)
        except MeasureError as error:
            notes.append(f"{run.path.name}: {error}")
            continue
        if lines is None:
            notes.append(
                t("{run}: its engine's series are written when the run ends.", run=run.path.name)
                if run.running
                else t(
                    "{run}: no server_metrics.parquet was kept with this run.", run=run.path.name
                )
            )
        elif not lines and not batches:
            notes.append(
                t("{run}: its engine's series hold no histogram the lab knows.", run=run.path.name)
            )
        for line in lines or ():
            words = told(f"{line.title} {line.level}")
            rows.setdefault(words, {"": words}).update(_engine_cells(name, line))
        for title, mean in batches:
            words = told(title)
            rows.setdefault(words, {"": words})[t("engine · {run}", run=name)] = t(
                "mean {value}", value=units.figures(mean)
            )
    return pd.DataFrame(list(rows.values())).fillna(""), notes


def _engine_lines(run: Run, engines: Mapping[str, Engine]) -> list[EngineLine] | None:
    series = run.server_metrics
    if series is None:
        return None
    return engine_side.engine_lines(series, _metrics(run, engines), run.window, run.summary)


def _mean_batches(run: Run, engines: Mapping[str, Engine]) -> list[tuple[str, float]]:
    series = run.server_metrics
    if series is None:
        return []
    return engine_side.mean_batches(series, _metrics(run, engines), run.window)


def _metrics(run: Run, engines: Mapping[str, Engine]) -> Sequence[Metric]:
    engine = engines.get(str(run.manifest["engine"].get("name")))
    return engine.metrics if engine else ()


def _engine_cells(name: str, line: EngineLine) -> dict[str, str]:
    """One run's two columns. The mean is the only exact number of a histogram."""
    bounds = line.bounds
    words = units.between(bounds.lower, bounds.upper, "s") if bounds else "–"
    return {
        t("engine · {run}", run=name): t(
            "{bounds}  (mean {value})", bounds=words, value=units.show(line.mean_s, "s")
        ),
        t("client · {run}", run=name): units.show(line.client_s, "s") if line.client_s else "",
    }


def row_title(row: Row, titles: Mapping[str, str]) -> str:
    """What people call the number: `TTFT p99`, `Goodput`. In English: an address may hold it."""
    if row.quantile is None:
        return _SCALARS.get(row.metric, row.metric)
    words = titles.get(row.metric) or row.metric.removesuffix("_s").replace("_", " ").capitalize()
    return f"{words} {LEVEL_TITLES.get(row.quantile, row.quantile)}"


def show(cell: Cell, unit: Unit) -> str:
    """The value and, in brackets, its interval."""
    shown = f"{cell.value:,.0f}" if unit == "count" and cell.value else units.show(cell.value, unit)
    if cell.ci95 is None:
        return shown
    # The unit once, where both have the same: five such cells are a line of a terminal.
    bounds, symbol = units.between(*cell.ci95, unit), shown.partition(" ")[2]
    if bounds.count(" ") == 1:
        bounds = bounds.removesuffix(f" {symbol}")
    return f"{shown}  [{bounds}]"


def _ratio(change: Change | None) -> str:
    if change is None or change.ratio is None:
        return ""
    if change.apart and units.figures(change.ratio) == "1":
        return t("× 1, differ by less than is shown")
    words = f"× {units.figures(change.ratio)}"
    if change.ratio_ci95 is not None:
        low, high = (units.figures(edge) for edge in change.ratio_ci95)
        words += f"  [{low}–{high}]"
    return words + _verdict(change.apart)


def _verdict(apart: bool | None) -> str:
    return {True: f"  {t('differ')}", False: f"  {t('not told apart')}", None: ""}[apart]
