"""What the runs of a list were set to, in a few words each. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard import text
from servers import knobs
from servers.catalog import ENGINES

_LONGEST = 160


@dataclass(frozen=True)
class Settings:
    """The knobs of one run: of which engine, and their values.

    `among` are the runs that it is one of: those of one engine, model and scenario.
    """

    engine: str
    values: Mapping[str, Any]
    among: tuple[str, ...] = ()


def in_words(several: Sequence[Settings]) -> list[str]:
    """The knobs of each as `knob=value, ...`: first what tells it from those it is among.

    A knob that differs among them is named in each, at another value than the engine's default
    before at the default; one that is alike in all is named last, and only where it is not at its
    default.
    """
    together: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for one in several:
        together.setdefault((one.engine, *one.among), []).append(one.values)
    differing = {among: _differing(values) for among, values in together.items()}
    return [_words(one, differing[one.engine, *one.among]) for one in several]


def _words(one: Settings, differing: set[str]) -> str:
    known = ENGINES.get(one.engine)
    defaults = {knob.name: _show(knob.default) for knob in known.knobs} if known else {}
    shown = {name: _show(value) for name, value in one.values.items()}
    changed = [name for name, value in shown.items() if defaults.get(name) != value]
    ordered = [
        *(name for name in changed if name in differing),
        *(name for name in shown if name in differing and name not in changed),
        *(name for name in changed if name not in differing),
    ]
    return text.plain(", ".join(f"{name}={shown[name]}" for name in ordered), _LONGEST)


def _differing(several: Sequence[Mapping[str, Any]]) -> set[str]:
    """Knobs with more than one value; a run older than a knob does not name it."""
    found: dict[str, set[str]] = {}
    for values in several:
        for name, value in values.items():
            found.setdefault(name, set()).add(_show(value))
    return {name for name, values in found.items() if len(values) > 1}


def _show(value: Any) -> str:
    return knobs.show(tuple(value) if isinstance(value, list) else value)
