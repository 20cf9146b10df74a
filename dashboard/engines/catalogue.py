"""The catalogue of engines as tables: knobs, metrics, ways to run, where each is taught."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dashboard import sources
from dashboard.panels import PANELS, Panel
from dashboard.words import t
from servers import instances, knobs, paths
from servers.catalog import ENGINES
from servers.contract import Engine, Metric, Way

_NOTEBOOKS = paths.ROOT / "notebooks"
_UNITS = {"s": "seconds", "ratio": "share"}


@dataclass(frozen=True)
class Lesson:
    """A notebook: its title, what a reader can do after it, its file from the project's folder."""

    title: str
    goal: str
    file: str


@dataclass(frozen=True)
class Hit:
    """A knob or a metric that a search has found."""

    engine: str
    kind: str
    name: str
    called: str
    meaning: str


def ways(engine: Engine) -> list[str]:
    """How it can be run, in the order in which the lab tries it."""
    words: dict[Way, Callable[[], str]] = {
        "path": lambda: t("program {program} on PATH", program=engine.program),
        "environment": lambda: t("isolated environment of the lab"),
        "docker": lambda: t("Docker image {image}", image=engine.image),
    }
    return [words[way]() for way in engine.ways]


def overview(engines: Iterable[Engine]) -> pd.DataFrame:
    """A row an engine."""
    return pd.DataFrame(
        [
            {
                t("Engine"): engine.name,
                t("Title"): engine.title,
                t("What it is"): engine.summary,
                t("Protocols"): ", ".join(engine.protocols) or "–",
                t("Knobs"): len(engine.knobs),
                t("Metrics"): len(engine.metrics),
            }
            for engine in engines
        ]
    )


def knobs_table(engine: Engine) -> pd.DataFrame:
    """A row a knob: the word of the lab, that of the engine, what it takes, what it trades."""
    return pd.DataFrame(
        [
            {
                t("Knob"): knob.name,
                t("The engine's own name"): knob.flag,
                t("Takes"): knobs.describe(knob),
                t("Default"): knobs.show(knob.default),
                t("What it trades"): knob.trades,
            }
            for knob in engine.knobs
        ]
    )


def metrics_table(engine: Engine) -> pd.DataFrame:
    """A row a metric: the concept, its name on `/metrics`, kind, unit, meaning."""
    return pd.DataFrame(
        [
            {
                t("Concept"): metric.concept.replace("_", " "),
                t("Name on /metrics"): exposed(metric),
                t("Kind"): metric.kind,
                t("Unit"): unit(metric),
                t("Meaning"): metric.help,
            }
            for metric in engine.metrics
        ]
    )


def exposed(metric: Metric) -> str:
    """The metric's name and, where only some of its series carry the concept, which."""
    if not metric.selector:
        return metric.name
    parts = (
        f'{label}="{value}"' if isinstance(value, str) else f'{label}=~"{"|".join(value)}"'
        for label, value in metric.selector.items()
    )
    return f"{metric.name}{{{','.join(parts)}}}"


def unit(metric: Metric) -> str:
    """The unit that the lab shows it in, and what the engine's own number is multiplied by."""
    words = _UNITS.get(metric.unit, metric.unit)
    return words if metric.scale == 1 else f"{words} (× {metric.scale:g})"


def panels_of(engine: Engine) -> list[Panel]:
    """The panels of Live that this engine's metrics fill."""
    carried = {metric.concept for metric in engine.metrics}
    return [
        panel
        for panel in PANELS
        if panel.group == "engine" and any(part.concept in carried for part in panel.parts)
    ]


def lessons(engine: Engine, folder: Path = _NOTEBOOKS) -> list[Lesson]:
    """The notebooks that teach it, in the order of the course; those that are not here left out."""
    found = (_lesson(folder / f"{name}.py") for name in sorted(engine.notebooks))
    return [lesson for lesson in found if lesson is not None]


def _lesson(file: Path) -> Lesson | None:
    """What the first cell of a notebook's source says of it."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    text = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    title = next((line.removeprefix("# ") for line in text if line.startswith("# ")), file.stem)
    goal: list[str] = []
    for line in text:
        if line.startswith("**Goal:**") or (goal and line):
            goal.append(line.removeprefix("**Goal:**").strip())
        elif goal:
            break
    return Lesson(title, " ".join(goal), f"{file.parent.name}/{file.name}")


def search(query: str, engines: Iterable[Engine]) -> list[Hit]:
    """Knobs and metrics of all engines that hold every word of the query, in any case."""
    wanted = query.casefold().split()
    hits = [
        *(
            Hit(engine.name, t("knob"), knob.name, knob.flag, knob.trades)
            for engine in engines
            for knob in engine.knobs
        ),
        *(
            Hit(engine.name, t("metric"), metric.concept, exposed(metric), metric.help)
            for engine in engines
            for metric in engine.metrics
        ),
    ]
    return [
        hit
        for hit in hits
        if wanted and all(word in "\n".join(vars(hit).values()).casefold() for word in wanted)
    ]


def hits_table(hits: Sequence[Hit]) -> pd.DataFrame:
    """A row a hit."""
    return pd.DataFrame(
        [
            {
                t("Engine"): hit.engine,
                t("Is a"): hit.kind,
                t("The lab's word"): hit.name,
                t("The engine's own name"): hit.called,
                t("Meaning"): hit.meaning,
            }
            for hit in hits
        ]
    )


def running(engine: Engine) -> pd.DataFrame:
    """The instances of it that the lab has on this machine, a row each; empty without any."""
    rows = []
    for one in instances.all_instances():
        if one.engine == engine.name:
            state = sources.state_here(one)
            rows.append(
                {
                    t("Instance"): one.name,
                    t("State"): t(state),
                    t("Title"): one.title or ENGINES[one.engine].title,
                    t("Model"): one.served_name or "–",
                    t("Address"): one.base_url,
                }
            )
    return pd.DataFrame(rows)
