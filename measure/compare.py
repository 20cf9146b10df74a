"""Two or more runs side by side: the numbers, what differs between them, what to beware of.

One of them, the baseline, is what all others are held against.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

from measure.distribution import Distribution, of_run
from measure.effect import Larger, larger
from measure.errors import MeasureError
from measure.quantiles import CONFIDENCE, LEVELS
from measure.store import Run
from measure.summary import QUANTITIES
from measure.table import OPEN_LOOP_ONLY, TITLES, cut_off, in_one_piece, titles_of
from measure.verdict import Verdict
from measure.window import is_open_loop

# Summary key -> unit. The rates and counts of a run have no interval: one run is one draw of them.
_SCALARS = {
    "requests.total": "requests",
    "requests.failed": "requests",
    "requests.cancelled": "requests",
    "offered_rps": "requests/s",
    "achieved_rps": "requests/s",
    "answered_rps": "requests/s",
    "goodput_rps": "requests/s",
    "slo_attainment": "ratio",
    "output_tokens_per_s": "tokens/s",
}
# Another port or another start is no other setting, nor is how long that start took. What the
# memory was expected to be follows from the settings.
_NOT_SETTINGS = ("engine.argv", "load.host", "engine.ready_s", "engine.ended_in_run")
_NO_SETTING_BEGINS = ("engine.warmup", "engine.memory_plan")


@dataclass(frozen=True)
class Cell:
    """One run's value, `None` if its sample carries none; the interval likewise."""

    value: float | None
    ci95: tuple[float, float] | None = None


@dataclass(frozen=True)
class Change:
    """A run against the baseline, at one row.

    `ratio_ci95` bounds the ratio of the two true quantiles with at least 95% confidence, whatever
    the distributions: it is the ratio of two intervals that each hold with √0.95. It is wider
    than the best possible, and `None` where a sample does not carry it. `apart` says whether 1 is
    outside it (`None` if unknown).
    """

    difference: float
    ratio: float | None
    ratio_ci95: tuple[float, float] | None
    apart: bool | None


@dataclass(frozen=True)
class Row:
    """One number of all runs. `quantile` is p50 … p999, `mean`, `max`, or `None` for a scalar.

    `changes` has one for each run, `None` for the baseline and where either value is unknown.
    """

    metric: str
    quantile: str | None
    unit: str
    cells: tuple[Cell, ...]
    changes: tuple[Change | None, ...] = ()

    @property
    def change(self) -> Change | None:
        """Of two runs, the one's against the other; `None` for more."""
        if len(self.changes) != 2:
            return None
        return next((one for one in self.changes if one is not None), None)


@dataclass(frozen=True)
class Setting:
    """A fact that is not the same in all runs, by its path in the manifest."""

    name: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Comparison:
    """`labels`, `run_ids`, the cells of `rows` and the values of `settings` are in one order.

    `titles` are what the latencies among the rows are called here.
    """

    run_ids: tuple[str, ...]
    labels: tuple[str, ...]
    rows: tuple[Row, ...]
    settings: tuple[Setting, ...]
    warnings: tuple[str, ...]
    titles: Mapping[str, str] = field(default_factory=lambda: TITLES)
    baseline: int = 0


Distributions = Mapping[str, Distribution]
"""A run's quantities, by their keys in its summary."""


def distributions(run: Run) -> Distributions:
    """All quantities of a run, sorted."""
    return {metric: of_run(run, metric) for metric in QUANTITIES}


def compare(
    runs: Sequence[Run], *, baseline: int = 0, known: Sequence[Distributions] | None = None
) -> Comparison:
    """Put runs side by side, all held against the one whose place is `baseline`.

    `known` are the runs' `distributions`, for who has them already: sorting a million values is
    most of the work.

    Raises:
        MeasureError: fewer than two runs, or one of them twice.
    """
    ids = [run.run_id for run in runs]
    if len(runs) < 2:
        raise MeasureError(f"A comparison needs two runs or more, and {len(runs)} were given.")
    if len({run.path.resolve() for run in runs}) < len(runs):
        raise MeasureError(f"A run is compared with itself: {', '.join(ids)}. Give each run once.")
    if known is None:
        known = [distributions(run) for run in runs]
    names = [str(run.manifest["name"]) for run in runs]
    settings = _settings([run.manifest for run in runs])
    return Comparison(
        run_ids=tuple(ids),
        labels=tuple(names if len(set(names)) == len(names) else ids),
        rows=(*_scalar_rows(runs, baseline), *_distribution_rows(runs, baseline, known)),
        settings=tuple(item for item in settings if not item.name.startswith("machine.")),
        warnings=tuple(warnings(runs, settings)),
        titles=titles_of(*(run.summary for run in runs)),
        baseline=baseline,
    )


def effects(
    metric: str, known: Sequence[Distributions], baseline: int = 0
) -> tuple[Larger | None, ...]:
    """How often each run's values of a quantity are larger than the baseline's; its own `None`."""
    first = known[baseline][metric]
    return tuple(
        None if place == baseline else larger(first, one[metric]) for place, one in enumerate(known)
    )


def change(first: Cell, second: Cell, ratio_ci95: tuple[float, float] | None) -> Change | None:
    """The second against the first; `None` if either is unknown."""
    if first.value is None or second.value is None:
        return None
    return Change(
        difference=second.value - first.value,
        ratio=second.value / first.value if first.value > 0 else None,
        ratio_ci95=ratio_ci95,
        apart=None if ratio_ci95 is None else not ratio_ci95[0] <= 1.0 <= ratio_ci95[1],
    )


def ratio_interval(
    first: Distribution, second: Distribution, level: float
) -> tuple[float, float] | None:
    """Bounds on (quantile of second) / (quantile of first).

    With each quantile inside its own interval at confidence √0.95, the ratio is inside the ratio
    of the intervals; both hold together with at least 95%. No distribution is assumed, nothing is
    drawn at random, and requests of one run may resemble their neighbours: the intervals rest on
    the effective counts (`measure.dependence`). `None` if a sample does not carry its interval
    or touches zero.
    """
    one = first.interval(level, sqrt(CONFIDENCE))
    other = second.interval(level, sqrt(CONFIDENCE))
    if one is None or other is None or one[0] <= 0 or other[0] <= 0:
        return None
    return other[0] / one[1], other[1] / one[0]


def _scalar_rows(runs: Sequence[Run], baseline: int) -> list[Row]:
    rows = []
    for name, unit in _SCALARS.items():
        cells = tuple(Cell(_at(run.summary, name)) for run in runs)
        # Nobody counts the tokens of a classifier, and a row of zeros says nothing.
        if unit == "tokens/s" and not any(cell.value for cell in cells):
            continue
        changes = tuple(
            None if place == baseline else change(cells[baseline], cell, None)
            for place, cell in enumerate(cells)
        )
        rows.append(Row(name, None, unit, cells, changes))
    return rows


def _distribution_rows(
    runs: Sequence[Run], baseline: int, known: Sequence[Distributions]
) -> list[Row]:
    """Of every quantity that some run has and that says something of its own: mean to maximum."""
    rows = []
    for metric in QUANTITIES:
        facts = [run.summary.get(metric) or {} for run in runs]
        if not any(fact.get("count") for fact in facts):
            continue
        if metric in OPEN_LOOP_ONLY and not any(is_open_loop(run.manifest) for run in runs):
            continue
        if metric == "ttft_s" and in_one_piece(*(run.summary for run in runs)):
            continue
        first = known[baseline][metric]
        for name in ("mean", *LEVELS, "max"):
            cells = tuple(_cell(fact, name) for fact in facts)
            changes = []
            for place, (cell, one) in enumerate(zip(cells, known, strict=True)):
                level = LEVELS.get(name)
                ratio = ratio_interval(first, one[metric], level) if level else None
                changes.append(None if place == baseline else change(cells[baseline], cell, ratio))
            rows.append(Row(metric, name, "s", cells, tuple(changes)))
    return rows


def _cell(fact: Mapping[str, Any], name: str) -> Cell:
    pair = (fact.get("ci95") or {}).get(name)
    return Cell(fact.get(name), tuple(pair) if pair else None)


def _at(facts: Mapping[str, Any], path: str) -> Any:
    for key in path.split("."):
        facts = facts.get(key) if isinstance(facts, Mapping) else None  # type: ignore[assignment]
    return facts


def _flat(value: Any, path: str) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        return {path: value}
    inner = [_flat(item, f"{path}.{key}" if path else str(key)) for key, item in value.items()]
    return {name: item for part in inner for name, item in part.items()}


def _settings(manifests: Sequence[Mapping[str, Any]]) -> list[Setting]:
    """Every fact of engine, load, SLO, versions and machine that differs, in manifest order."""
    keys = ("engine", "load", "slo", "git_commit", "versions", "machine")
    flat = [_flat({key: manifest.get(key) for key in keys}, "") for manifest in manifests]
    names = dict.fromkeys(name for facts in flat for name in facts)
    rows = (Setting(name, tuple(facts.get(name) for facts in flat)) for name in names)
    return [
        row
        for row in rows
        if row.name not in _NOT_SETTINGS
        and not row.name.startswith(_NO_SETTING_BEGINS)
        and any(value != row.values[0] for value in row.values)
    ]


def warnings(runs: Sequence[Run], settings: Sequence[Setting] = ()) -> list[str]:
    """What to beware of in each run, and in holding them side by side.

    `settings` are those that differ between them.
    """
    found = []
    for run in runs:
        client = run.summary.get("client") or {}
        if client.get("verdict") != Verdict.VALID and not run.running:
            reasons = "; ".join(client.get("reasons") or ["no verdict was kept"])
            found.append(f"{run.run_id} is {client.get('verdict') or 'not judged'}: {reasons}.")
        if run.manifest["engine"].get("ended_in_run"):
            found.append(
                f"In {run.run_id} the engine's first process ended: what was answered after that "
                "is by what it left."
            )
        if not run.finished:
            state = "still goes on" if run.running else "was cut off"
            found.append(f"{run.run_id} {state}: its numbers are of what had ended by then.")
        if cut_off(run.summary):
            counts = run.summary["requests"]
            found.append(
                f"In {run.run_id} {counts['cancelled']:,} of {counts['total']:,} requests were cut "
                "off when the load ended: what they would have taken is in no number, so it was "
                "slower than it looks."
            )
    differing = {setting.name for setting in settings}
    if any(name.startswith("machine.") for name in differing):
        found.append("The runs are from different machines: a difference may be the machine's.")
    asked = {name.split(".")[1] for name in differing if name.startswith("load.")}
    load = asked & {"scenario", "prompt", "output_tokens"}
    if load:
        what = " and ".join(sorted(load)).replace("_", " ")
        found.append(f"The runs differ in {what}: they were not asked the same.")
    if len({is_open_loop(run.manifest) for run in runs}) > 1:
        found.append(
            "One run is closed loop and another open loop: in closed loop a slow server is asked "
            "less often, so their tails are not comparable."
        )
    return found
