"""Attainment and goodput over the load: which engine, in which settings, holds to where. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count as count_from
from typing import Any, Literal

import pandas as pd

from dashboard import run_words, text
from dashboard.slo.measured import Measured
from dashboard.words import t
from measure.attainment import Attainment, breaks_between, together
from measure.shares import interval

Kind = Literal["rate", "users"]
_SHORT_SETTINGS = 28
"""Characters up to which settings stand in a legend."""


@dataclass(frozen=True)
class Ladder:
    """An engine in one set of settings; `name` is short, `settings` what tells it from others.

    `engine` is its name, whatever a stand-in for it is called.
    """

    name: str
    engine: str
    settings: str


@dataclass(frozen=True)
class Point:
    """One run at one load: `load` is requests a second asked for, or users (`kind`)."""

    run_id: str
    ladder: Ladder
    kind: Kind
    load: float
    found: Attainment
    verdict: str
    running: bool
    length_s: float

    @property
    def counts(self) -> bool:
        """Whether it may say where an engine breaks: an invalid client's numbers may not."""
        return self.verdict != "invalid" and self.found.finished > 0


def load_of(one: Measured) -> tuple[Kind, float] | None:
    """The load of a run; `None` for one that has no single one (a batch, nothing sent yet)."""
    arrival = one.manifest["load"]["arrival"]
    if arrival["kind"] == "closed":
        return ("users", float(arrival["users"])) if arrival.get("users") else None
    rate_rps = arrival.get("rate_rps") or (None if arrival["kind"] == "batch" else one.offered_rps)
    return ("rate", float(rate_rps)) if rate_rps else None


def points(runs: Sequence[tuple[Measured, Attainment]]) -> list[Point]:
    """The runs that have a load, each in the ladder of its engine and settings."""
    names = ladders([one for one, _ in runs])
    found = []
    for one, held in runs:
        load = load_of(one)
        if load is not None:
            found.append(
                Point(
                    one.run_id,
                    names[one.run_id],
                    *load,
                    held,
                    one.verdict,
                    one.running,
                    one.span.length_s,
                )
            )
    return found


def ladders(runs: Sequence[Measured]) -> dict[str, Ladder]:
    """Each run's line: its engine, and what its runs differ in beside the load.

    Named by what differs where that is short, else numbered.
    """
    facts = {one.run_id: _facts(one.manifest) for one in runs}
    of_engine: dict[str, list[dict[str, str]]] = {}
    for one in runs:
        kinds = of_engine.setdefault(run_words.engine(one.manifest), [])
        if facts[one.run_id] not in kinds:
            kinds.append(facts[one.run_id])
    found = {}
    for one in runs:
        called, own = run_words.engine(one.manifest), facts[one.run_id]
        kinds = of_engine[called]
        several = [_settings(kind, kinds) for kind in kinds]
        place = kinds.index(own)
        brief = max(map(len, several)) <= _SHORT_SETTINGS
        apart = several[place] if brief else str(place + 1)
        name = f"{text.plain(called, 40)} {text.plain(apart)}" if len(kinds) > 1 else called
        engine = str(one.manifest["engine"].get("name") or "?")
        found[one.run_id] = Ladder(text.plain(name, 80), engine, several[place])
    return found


def _settings(own: Mapping[str, str], kinds: Sequence[Mapping[str, str]]) -> str:
    """Those of its settings in which not all agree."""
    differ = [key for key in own if any(other.get(key) != own[key] for other in kinds)]
    return ", ".join(f"{key}={own[key]}" for key in differ)


def _facts(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What makes two runs of one engine another line when it differs."""
    engine, load = manifest["engine"], manifest["load"]
    settings = engine.get("settings") or {}
    found = {key: settings[key] for key in sorted(settings)}
    found |= {"model": engine.get("model"), "scenario": load["scenario"]}
    found |= {"output_tokens": load.get("output_tokens"), "prompt": load.get("prompt")}
    found |= {"version": engine.get("version"), "cores": manifest["machine"].get("cores")}
    return {key: _short(value) for key, value in found.items()}


def _short(value: Any) -> str:
    if isinstance(value, str):
        return value.rsplit("/", 1)[-1]
    return json.dumps(value, sort_keys=True, default=str)


def pooled(found: Sequence[Point]) -> dict[Ladder, list[tuple[float, Attainment]]]:
    """Each ladder's loads, rising; runs of one load taken together, invalid ones left out."""
    at: dict[Ladder, dict[float, list[Attainment]]] = {}
    for one in found:
        if one.counts:
            at.setdefault(one.ladder, {}).setdefault(one.load, []).append(one.found)
    return {
        ladder: [(load, together(several)) for load, several in sorted(loads.items())]
        for ladder, loads in sorted(at.items(), key=lambda item: _natural(item[0].name))
    }


def breaks(found: Sequence[Point], objective: float) -> pd.DataFrame:
    """Where each ladder breaks: between which two loads that were measured."""
    rows = []
    for ladder, steps in pooled(found).items():
        held, lost = breaks_between(steps, objective)
        kind = next(one.kind for one in found if one.ladder == ladder)
        rows.append(
            {
                t("Engine"): ladder.name,
                t("Loads measured"): ", ".join(f"{load:g}" for load, _ in steps),
                t("Holds to"): _load(held, kind),
                t("Loses it at"): _load(lost, kind),
                t("So"): _verdict(held, lost, kind),
                t("In which it differs"): text.plain(ladder.settings, 200) or "–",
            }
        )
    return pd.DataFrame(rows)


@cache
def fewest(objective: float) -> int:
    """How many requests, all of them good, hold an objective: 368 for 99 %."""
    return next(count for count in count_from(1) if interval(1.0, count)[0] >= objective)


def _load(load: float | None, kind: Kind) -> str:
    if load is None:
        return "–"
    return f"{load:g}/s" if kind == "rate" else users(load)


def users(load: float) -> str:
    """A load of a closed loop in words."""
    return t("1 user") if load == 1 else t("{n} users", n=f"{load:g}")


def _natural(name: str) -> list[tuple[str, float]]:
    """`vllm 2` before `vllm 10`, `max_num_seqs=4` before `max_num_seqs=16`."""
    words = re.findall(r"([^0-9]*)([0-9]{1,18})?", name)
    return [(word, float(number or 0)) for word, number in words]


def _verdict(held: float | None, lost: float | None, kind: Kind) -> str:
    low, high = _load(held, kind), _load(lost, kind)
    if held is not None and lost is not None:
        return t("It breaks between {low} and {high}.", low=low, high=high)
    if held is not None:
        return t("It holds at {low}; nothing higher is known to lose it.", low=low)
    if lost is not None:
        return t("It is lost at {high}; no lower load is known to hold it.", high=high)
    return t("Too few requests to tell at any load.")


def numbers(found: Sequence[Point]) -> pd.DataFrame:
    """What the figures draw, a row a run."""
    rows = [
        (one.run_id, one.ladder.name, one.kind, one.load, one.found.good, one.found.finished,
         one.found.share, *one.found.interval, one.found.goodput_rps, one.verdict)
        for one in found
    ]  # fmt: skip
    return pd.DataFrame(
        rows,
        columns=["run", "line", "load is", "load (requests/s or users)", "good", "finished",
                 "attainment (share)", "low (share)", "high (share)", "goodput (requests/s)",
                 "client"],
    )  # fmt: skip
