"""What the SLO page keeps of a run: the few columns that tell good requests from bad ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from dashboard import run_words
from measure import attainment
from measure.attainment import Attainment, Burn
from measure.errors import MeasureError
from measure.slo import Slo
from measure.store import RunInfo, open_run
from measure.table import cut_off, in_one_piece
from measure.window import Window, is_open_loop


@dataclass(frozen=True)
class Measured:
    """A run's counted requests without their chunks: 500,000 of them are some 30 MB.

    Shared between readers: nothing in it may be changed.
    """

    run_id: str
    manifest: Mapping[str, Any]
    verdict: str
    running: bool
    whole_answers: bool
    offered_rps: float | None
    cut_off: int
    many_cut_off: bool
    span: Window
    records: pa.Table

    @property
    def open_loop(self) -> bool:
        """Whether latency counts from the schedule."""
        return is_open_loop(dict(self.manifest))

    @property
    def own_slo(self) -> Slo:
        """What the run was asked to keep to."""
        return Slo.from_dict(self.manifest.get("slo"))

    def held_against(self, slo: Slo) -> Attainment:
        """Its requests against an SLO."""
        return attainment.attainment(self.records, slo, self.span, open_loop=self.open_loop)

    def burn(self, slo: Slo, objective: float, width_s: float) -> Burn:
        """Its error budget over the window."""
        return attainment.burn(
            self.records, slo, objective, self.span, open_loop=self.open_loop, width_s=width_s
        )


Held = tuple[Measured, Attainment]
"""A run, and how it keeps to the SLO it is held against."""


def read(path: Path) -> Measured | str:
    """A run, or why it cannot be read."""
    try:
        run = open_run(path)
        return Measured(
            path.name,
            run.manifest,
            str(run.summary["client"]["verdict"]),
            run.running,
            in_one_piece(run.summary),
            run.summary.get("offered_rps"),
            run.summary["requests"]["cancelled"],
            cut_off(run.summary),
            run.window,
            attainment.needed(run.counted),
        )
    except (MeasureError, OSError) as error:
        return str(error)


def group(manifest: Mapping[str, Any]) -> str:
    """What runs are compared under: one engine, one scenario."""
    return f"{run_words.engine(manifest)} {manifest['load']['scenario']}"


def groups(infos: list[RunInfo]) -> dict[str, list[str]]:
    """The groups of two or more runs that can be read, each with its runs, newest first."""
    found: dict[str, list[str]] = {}
    for info in infos:
        if info.problem is None and info.manifest is not None:
            found.setdefault(group(info.manifest), []).append(info.run_id)
    return {name: names for name, names in sorted(found.items()) if len(names) > 1}
