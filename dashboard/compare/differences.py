"""What is not the same in the engines and loads of several runs, as words and as a table. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from dashboard import text
from dashboard.words import t
from measure.compare import Comparison, Setting
from servers.contract import Engine

_KNOB = "engine.settings."
_FAMILIES = (_KNOB, "engine.", "load.arrival.", "load.")
_MOST = 4
# What else may differ is in the table: it is seldom what a comparison is about.
_ASIDE = (
    "git_commit",
    "versions.",
    "engine.version",
    "engine.instance",
    "engine.title",
    "engine.way",
    "engine.warm",
    "engine.neighbours",
)
_CALLED = {"engine.name": "engine", "load.arrival.kind": "arrival"}


def settings(comparison: Comparison, engines: Mapping[str, Engine]) -> list[Setting]:
    """Facts of engine, load and versions that are not the same in all runs.

    Left out are an instance's name where it is its engine's, and a knob that one run alone has,
    where it is as the engine comes.
    """
    kinds = _kinds(comparison)
    return [
        setting
        for setting in comparison.settings
        if not (setting.name == "engine.instance" and setting.values == kinds)
        and not _untouched(setting, kinds, engines)
    ]


def table(
    comparison: Comparison, names: Sequence[str], engines: Mapping[str, Engine]
) -> pd.DataFrame:
    """A row for each of `settings`, a column for each run; knobs by their names."""
    return pd.DataFrame(
        [
            {"": setting.name.removeprefix(_KNOB)}
            | {
                name: _value(_short(setting.name, value))
                for name, value in zip(names, setting.values, strict=True)
            }
            for setting in settings(comparison, engines)
        ]
    )


def headline(comparison: Comparison, engines: Mapping[str, Engine]) -> str:
    """One line: `max_num_seqs 16 → 1`, of more runs `max_num_seqs 1, 4, 16`; empty if all is alike.

    Engines first where they differ (a knob that only one of them has then says nothing), then
    knobs, then the load.
    """
    found = [one for one in settings(comparison, engines) if not one.name.startswith(_ASIDE)]
    if any(one.name == "engine.name" for one in found):
        found = [one for one in found if not one.name.startswith(_KNOB) or None not in one.values]
    found.sort(key=_importance)
    words = [_change(one) for one in found[:_MOST]]
    if len(found) > _MOST:
        words.append(t("and {count} more", count=len(found) - _MOST))
    return " · ".join(words)


def _importance(setting: Setting) -> int:
    order = ("engine.name", _KNOB, "engine.", "load.arrival", "load.")
    return next((i for i, begin in enumerate(order) if setting.name.startswith(begin)), len(order))


def _change(setting: Setting) -> str:
    name = _CALLED.get(setting.name, setting.name)
    for begin in _FAMILIES:
        name = name.removeprefix(begin)
    values = [text.plain(_value(value).rpartition("/")[2], 40) for value in setting.values]
    if len(values) == 2:
        return f"{name} {values[0]} → {values[1]}"
    return f"{name} {text.plain(', '.join(dict.fromkeys(values)), 60)}"


def _kinds(comparison: Comparison) -> Sequence[Any]:
    return next((one.values for one in comparison.settings if one.name == "engine.name"), ())


def _untouched(setting: Setting, kinds: Sequence[Any], engines: Mapping[str, Engine]) -> bool:
    """Whether this is a knob that one run alone has, at its engine's default."""
    had = [place for place, value in enumerate(setting.values) if value is not None]
    if not setting.name.startswith(_KNOB) or len(had) != 1 or not kinds:
        return False
    engine, value = engines.get(str(kinds[had[0]])), setting.values[had[0]]
    knob = engine.knob(setting.name.removeprefix(_KNOB)) if engine else None
    # JSON has lists where a knob has a tuple.
    return knob is not None and knob.default == (tuple(value) if isinstance(value, list) else value)


def _short(name: str, value: Any) -> Any:
    """A commit as people name it."""
    if name != "git_commit" or not isinstance(value, str):
        return value
    commit, dash, state = value.partition("-")
    return f"{commit[:10]}{dash}{state}"


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_value(item) for item in value) or "–"
    return "–" if value is None else text.plain(value, 120)
