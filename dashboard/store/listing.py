"""The runs as the Runs page lists them: what a row says, searching, filtering."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from dashboard import run_words, runs, text
from dashboard.store import settings
from dashboard.store.settings import Settings
from dashboard.told import told
from measure import notes
from measure.arrival import in_words
from measure.errors import MeasureError
from measure.notes import Notes
from measure.store import RunInfo
from measure.table import in_one_piece, titles_of
from measure.window import is_open_loop
from servers.catalog import ENGINES

STATES = ("finished", "running", "unfinished", "damaged")
VERDICTS = ("valid", "suspect", "invalid")
_NONE = Notes()
_UNSET = Settings("", {})


@dataclass(frozen=True)
class Entry:
    """One run in the list. What is not known is empty or `None`; `problem` says what is wrong.

    `latency` is what the headline latency of this run is called, `p50_s` and `p99_s` are its
    quantiles as the summary has them. `scenario` and `arrival` are its load. `words` is all that a
    search looks at.
    """

    run_id: str
    state: str
    notes: Notes = _NONE
    name: str = ""
    when: datetime | None = None
    engine: str = ""
    engine_title: str = ""
    model: str = ""
    scenario: str = ""
    arrival: str = ""
    settings: Settings = _UNSET
    requests: int | None = None
    failed: int | None = None
    latency: str = ""
    p50_s: float | None = None
    p99_s: float | None = None
    tokens_per_s: float | None = None
    goodput_rps: float | None = None
    verdict: str = ""
    reasons: tuple[str, ...] = ()
    problem: str = ""
    words: str = ""


def entries(root: Path) -> list[Entry]:
    """Every run below `root`, newest first by name, the damaged and the archived too."""
    return [_entry(info) for info in runs.listed(root)]


def select(
    listed: Sequence[Entry],
    query: str = "",
    *,
    engines: Collection[str] = (),
    tags: Collection[str] = (),
    verdicts: Collection[str] = (),
    archived: bool = False,
) -> list[Entry]:
    """The runs that hold every word of `query`, in any case, and pass every filter.

    An empty filter lets all pass; of several engines or verdicts any will do, of several tags a
    run must have all. Archived runs are left out unless `archived`.
    """
    wanted = query.casefold().split()
    return [
        entry
        for entry in listed
        if (archived or not entry.notes.archived)
        and (not engines or entry.engine in engines)
        and set(tags) <= set(entry.notes.tags)
        and (not verdicts or entry.verdict in verdicts)
        and all(word in entry.words for word in wanted)
    ]


def table(shown: Sequence[Entry]) -> pd.DataFrame:
    """A row a run, numbers as numbers so that a reader can sort by them; latencies in ms."""
    return pd.DataFrame(
        {
            "run": [text.plain(one.run_id, 120) for one in shown],
            "name": [text.plain(one.name, 120) for one in shown],
            "when": pd.Series([one.when for one in shown], dtype="datetime64[s]"),
            "engine": [text.plain(one.engine_title or one.engine, 60) for one in shown],
            "model": [text.plain(one.model, 80) for one in shown],
            "load": [text.plain(_load(one), 80) for one in shown],
            "settings": settings.in_words([one.settings for one in shown]),
            "requests": pd.Series([one.requests for one in shown], dtype="Int64"),
            "failed": pd.Series([one.failed for one in shown], dtype="Int64"),
            "latency": [told(one.latency) for one in shown],
            "p50_ms": _milliseconds([one.p50_s for one in shown]),
            "p99_ms": _milliseconds([one.p99_s for one in shown]),
            "tokens_per_s": pd.Series([one.tokens_per_s for one in shown], dtype="float64"),
            "goodput_rps": pd.Series([one.goodput_rps for one in shown], dtype="float64"),
            "verdict": [run_words.verdict(one.verdict) for one in shown],
            "tags": [[text.plain(tag, 40) for tag in one.notes.tags] for one in shown],
            "state": [run_words.state(one.state) for one in shown],
        }
    )


def _load(one: Entry) -> str:
    """Short, for its column: `chat, poisson 4/s`. A batch is its own arrival."""
    unit = told("requests/s")
    arrival = told(one.arrival).replace(f" {unit}", unit[unit.index("/") :])
    parts = [arrival] if one.scenario == one.arrival else [one.scenario, arrival]
    return ", ".join(part for part in parts if part)


def tags_of(listed: Sequence[Entry]) -> list[str]:
    """Every tag that some run has, in the order of the alphabet."""
    return sorted({tag for entry in listed for tag in entry.notes.tags})


def engines_of(listed: Sequence[Entry]) -> list[str]:
    """The engines of the catalogue that answer requests, then those that only runs know."""
    known = [name for name, engine in ENGINES.items() if engine.job == "engine"]
    return known + sorted({entry.engine for entry in listed if entry.engine} - set(known))


def _entry(info: RunInfo) -> Entry:
    kept, problem = _NONE, info.problem or ""
    try:
        kept = notes.read(info.path)
    except MeasureError as error:
        problem = problem or str(error)
    if info.manifest is None:
        words = _words(info.run_id, kept, problem)
        return Entry(info.run_id, "damaged", kept, problem=problem, words=words)
    try:
        return _readable(info, info.manifest, kept, problem)
    except (AttributeError, KeyError, LookupError, TypeError, ValueError, OSError) as error:
        # The files hold JSON of the right names and of other kinds than a run's.
        problem = f"{info.path} holds values that no run has ({error!r}); nothing of it is shown."
        words = _words(info.run_id, kept, problem)
        return Entry(info.run_id, "damaged", kept, problem=problem, words=words)


def _readable(info: RunInfo, manifest: dict[str, Any], kept: Notes, problem: str) -> Entry:
    engine, summary = manifest["engine"], info.summary
    kind = str(engine.get("name") or "")
    title = run_words.own_title(manifest)
    known = ENGINES.get(kind)
    state = "running" if info.running else ("finished" if info.finished else "unfinished")
    name = str(manifest["name"])
    scenario, arrival = str(manifest["load"]["scenario"]), in_words(manifest["load"]["arrival"])
    model = str(engine.get("model") or "")
    values = dict(engine.get("settings") or {})
    entry = Entry(
        run_id=info.run_id,
        state="damaged" if problem else state,
        notes=kept,
        name="" if name == info.run_id else name,
        when=datetime.fromtimestamp(float(manifest["epoch_s"])),
        engine=kind,
        engine_title=title or (known.title if known else kind),
        # A folder's path says less than its name, and takes a column.
        model=model.rstrip("/").rpartition("/")[2],
        scenario=scenario,
        arrival=arrival,
        settings=Settings(kind, values, (model, scenario)),
        problem=problem,
        words=_words(
            info.run_id, kept, name, kind, title, known.title if known else "", model, scenario,
            arrival, arrival.replace(" requests/s", "/s"),
            *(f"{knob}={value}" for knob, value in values.items()),
        ),
    )  # fmt: skip
    return entry if summary is None else _with_numbers(entry, manifest, summary)


def _with_numbers(entry: Entry, manifest: dict[str, Any], summary: dict[str, Any]) -> Entry:
    key = "ttft_from_schedule_s" if is_open_loop(manifest) else "ttft_s"
    if in_one_piece(summary) and key == "ttft_s":
        key = "e2e_s"
    client = summary["client"]
    return replace(
        entry,
        requests=int(summary["requests"]["total"]),
        failed=int(summary["requests"]["failed"]),
        latency=titles_of(summary)[key] if summary[key]["count"] else "",
        p50_s=_number(summary[key]["p50"]),
        p99_s=_number(summary[key]["p99"]),
        # Nobody counts the tokens of a classifier: that is no rate of zero.
        tokens_per_s=_number(summary.get("output_tokens_per_s")) or None,
        goodput_rps=_number(summary.get("goodput_rps")),
        verdict=str(client["verdict"]),
        reasons=tuple(str(reason) for reason in client["reasons"]),
    )


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _milliseconds(values_s: Sequence[float | None]) -> pd.Series:
    return pd.Series([None if one is None else one * 1e3 for one in values_s], dtype="float64")


def _words(run_id: str, kept: Notes, *more: str) -> str:
    return "\n".join([run_id, *kept.tags, kept.note, *more]).casefold()
