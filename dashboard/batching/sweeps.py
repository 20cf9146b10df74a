"""Which runs of the store belong together: one engine, model and load, one or two knobs apart.

Pure: it reads what `dashboard.runs.listed` gives, manifests and summaries, and no records.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import PurePath
from typing import Any

from dashboard import run_words
from measure.store import RunInfo
from servers.contract import Engine

MOST_KNOBS = 2
_LOAD = {"closed": "users", "constant": "rate_rps", "poisson": "rate_rps", "gamma": "rate_rps"}
"""Kinds of arrival whose load is one number, and where it stands."""
_SHAPE = ("scenario", "protocol", "transport", "dialect", "prompt", "output_tokens", "workers")
_MACHINE = ("cpu", "cores", "gpus")
_ENGINE = ("version", "device", "way")

Knobs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Member:
    """A run of a sweep: the values of the knobs that vary (as JSON), and its load.

    `load` is users, or requests a second offered; `None` where it is not one number.
    """

    info: RunInfo
    knobs: Knobs
    load: float | None


@dataclass(frozen=True)
class Sweep:
    """Runs that differ in nothing but `knobs` (at most two), and in how much load there was.

    `key` names it in addresses: it stays while runs are added that vary the same. `engine` is what
    its runs' engine is called. `members` are by knobs, then by rising load, then by time.
    """

    key: str
    engine: str
    model: str
    scenario: str
    arrival: str
    knobs: tuple[str, ...]
    members: tuple[Member, ...]

    @property
    def lines(self) -> dict[Knobs, list[Member]]:
        """The members by the values of their knobs."""
        found: dict[Knobs, list[Member]] = {}
        for member in self.members:
            found.setdefault(member.knobs, []).append(member)
        return found

    @property
    def loads(self) -> tuple[float, ...]:
        """The loads that were tried, rising."""
        return tuple(sorted({one.load for one in self.members if one.load is not None}))

    @property
    def newest(self) -> list[Member]:
        """The newest run at each place: earlier ones there are repeats of it."""
        return list({(one.knobs, one.load): one for one in self.members}.values())


@dataclass(frozen=True)
class _Run:
    info: RunInfo
    family: str
    settings: Mapping[str, str]
    load: float | None


def find(infos: Iterable[RunInfo], engines: Mapping[str, Engine]) -> list[Sweep]:
    """All sweeps of these runs, those with the most places first; none inside another.

    A knob that a run does not name (it is older than the knob) counts as at its default.
    """
    families: dict[str, list[_Run]] = {}
    for info in infos:
        if info.manifest and info.summary and not info.running:
            run = _run(info, engines)
            families.setdefault(run.family, []).append(run)
    found = [sweep for several in families.values() for sweep in _sweeps(several)]
    return sorted(
        found,
        key=lambda sweep: (len(sweep.newest), sweep.members[-1].info.run_id, sweep.key),
        reverse=True,
    )


def _run(info: RunInfo, engines: Mapping[str, Engine]) -> _Run:
    manifest = info.manifest or {}
    engine, load = manifest["engine"], manifest["load"]
    name = str(engine.get("name"))
    known = engines.get(name)
    defaults = {knob.name: knob.default for knob in known.knobs} if known else {}
    settings = {**defaults, **(engine.get("settings") or {})}
    arrival = dict(load["arrival"])
    where = _LOAD.get(arrival["kind"])
    amount = arrival.pop(where, None) if where else None
    # A cap that bites makes a run invalid: where it stands is no other load.
    arrival.pop("max_in_flight", None)
    family = {
        "engine": name,
        "model": str(engine.get("model")),
        "arrival": arrival,
        **{f"load.{key}": load.get(key) for key in _SHAPE},
        **{f"machine.{key}": manifest["machine"].get(key) for key in _MACHINE},
        **{f"engine.{key}": engine.get(key) for key in _ENGINE},
    }
    return _Run(
        info,
        _json(family),
        {key: _json(value) for key, value in settings.items()},
        float(amount) if isinstance(amount, int | float) else None,
    )


def _sweeps(runs: Sequence[_Run]) -> list[Sweep]:
    """Of runs of one family: every part whose runs agree in all knobs but one or two."""
    names = sorted({name for run in runs for name in run.settings})
    varying = [name for name in names if len({run.settings.get(name) for run in runs}) > 1]
    parts: dict[frozenset[str], tuple[tuple[str, ...], list[_Run]]] = {}
    for count in range(MOST_KNOBS + 1):
        for chosen in combinations(varying, count):
            for part in _agreeing(runs, [name for name in varying if name not in chosen]):
                if _varies(part, chosen):
                    parts[frozenset(run.info.run_id for run in part)] = (chosen, part)
    return [
        _sweep(chosen, part)
        for ids, (chosen, part) in parts.items()
        if not any(ids < other for other in parts)
    ]


def _agreeing(runs: Sequence[_Run], names: Sequence[str]) -> list[list[_Run]]:
    found: dict[tuple[str | None, ...], list[_Run]] = {}
    for run in runs:
        found.setdefault(tuple(run.settings.get(name) for name in names), []).append(run)
    return list(found.values())


def _varies(part: Sequence[_Run], chosen: Sequence[str]) -> bool:
    """Whether every chosen knob has two values here, or, if none is chosen, the load has."""
    if not chosen:
        return len({run.load for run in part}) > 1
    return all(len({run.settings.get(name) for run in part}) > 1 for name in chosen)


def _sweep(chosen: tuple[str, ...], part: Sequence[_Run]) -> Sweep:
    members = sorted(
        (
            Member(
                run.info,
                tuple((name, run.settings.get(name, "null")) for name in chosen),
                run.load,
            )
            for run in part
        ),
        key=lambda one: (
            [_order(value) for _, value in one.knobs],
            one.load or 0.0,
            one.info.run_id,
        ),
    )
    manifest = part[0].info.manifest or {}
    name, load = str(manifest["engine"].get("name")), manifest["load"]
    same = {key: value for key, value in part[0].settings.items() if key not in chosen}
    identity = hashlib.sha256(_json([part[0].family, chosen, same]).encode()).hexdigest()[:8]
    return Sweep(
        key=f"{name}-{load['scenario']}-{identity}",
        engine=run_words.engine(manifest),
        model=PurePath(str(manifest["engine"].get("model") or "")).name,
        scenario=str(load["scenario"]),
        arrival=str(load["arrival"]["kind"]),
        knobs=chosen,
        members=tuple(members),
    )


def _order(value: str) -> tuple[int, float, str]:
    """Numbers by size, everything else by its text, before them."""
    read = json.loads(value)
    is_number = isinstance(read, int | float) and not isinstance(read, bool)
    return (1, float(read), "") if is_number else (0, 0.0, value)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=list)
