"""Settings of an engine: from what a person typed to checked values. Pure."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence

from servers.contract import Engine, Knob, Value
from servers.errors import ServerError

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "a word",
    "ints": "whole numbers with commas between them",
}


def parse(engine: Engine, items: Iterable[str]) -> dict[str, Value]:
    """All knobs of `engine`, in its order: the given `knob=value` words over the defaults.

    Raises `ServerError` for a word without `=`, an unknown knob (naming close ones), a knob
    given twice, a value of the wrong kind or out of range.
    """
    given: dict[str, Value] = {}
    for item in items:
        name, equals, text = item.partition("=")
        name = name.strip()
        if not equals:
            raise ServerError(f"{item!r} is no setting: write KNOB=VALUE, as {_example(engine)}.")
        if name in given:
            raise ServerError(f"The knob {name!r} of {engine.name} is set twice; set it once.")
        given[name] = _read(engine, _known(engine, name), text.strip())
    return complete(engine, given)


def complete(engine: Engine, settings: Mapping[str, Value]) -> dict[str, Value]:
    """All knobs of `engine`, in its order: `settings`, checked, over the defaults.

    Raises `ServerError` as `parse` does. A list is taken where whole numbers are wanted.
    """
    given = {name: _checked(engine, _known(engine, name), v) for name, v in settings.items()}
    return {knob.name: given.get(knob.name, knob.default) for knob in engine.knobs}


def show(value: Value) -> str:
    """A value as it is written on the command line."""
    if value is None:
        return "default"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(str(part) for part in value)
    return str(value)


def describe(knob: Knob) -> str:
    """What the knob takes, in words: `a whole number from 1 to 1024 (sequences)`."""
    if knob.choices:
        words = "one of " + ", ".join(knob.choices)
    else:
        words = _KINDS[knob.kind] + _range(knob)
    if knob.unit:
        words += f" ({knob.unit})"
    return words + (", or default" if knob.default is None else "")


def _range(knob: Knob) -> str:
    low, high = knob.minimum, knob.maximum
    if low is not None and high is not None:
        return f" from {low:g} to {high:g}" if high < 1e6 else f" from {low:g} to {high:.0f}"
    if low is not None:
        return f", {low:g} or more"
    if high is not None:
        return f", at most {high:.0f}" if high >= 1e6 else f", at most {high:g}"
    return ""


def _known(engine: Engine, name: str) -> Knob:
    knob = engine.knob(name)
    if knob is not None:
        return knob
    names = [each.name for each in engine.knobs]
    if not names:
        raise ServerError(f"{engine.name} has no knobs, so {name!r} cannot be set.")
    close = difflib.get_close_matches(name.replace("-", "_"), names, n=3, cutoff=0.5)
    close = close or [each.name for each in engine.knobs if name and name in each.flag]
    hint = f"Did you mean {' or '.join(close)}?" if close else f"It has: {', '.join(names)}."
    raise ServerError(f"{engine.name} has no knob {name!r}. {hint}")


def _read(engine: Engine, knob: Knob, text: str) -> Value:
    """Text to a value of the knob's kind; range and choices are `_checked`'s."""
    if knob.default is None and text.lower() in ("default", "none"):
        return None
    try:
        if knob.kind == "int":
            return int(text)
        if knob.kind == "float":
            return float(text)
        if knob.kind == "bool":
            if text.lower() in _TRUE | _FALSE:
                return text.lower() in _TRUE
            raise ValueError
        if knob.kind == "ints":
            return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError:
        raise _refused(engine, knob, text) from None
    return text


def _checked(engine: Engine, knob: Knob, value: object) -> Value:
    """The value if it is of the knob's kind and in its range."""
    if value is None and knob.default is None:
        return None
    if isinstance(value, list):
        value = tuple(value)
    if knob.kind == "float" and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not _of_kind(knob, value) or not _within(knob, value):
        raise _refused(engine, knob, value)
    return value  # type: ignore[return-value]


def _of_kind(knob: Knob, value: object) -> bool:
    if knob.kind == "bool":
        return isinstance(value, bool)
    if knob.kind == "int":
        return isinstance(value, int) and not isinstance(value, bool)
    if knob.kind == "float":
        return isinstance(value, float) and math.isfinite(value)
    if knob.kind == "ints":
        return isinstance(value, tuple) and all(
            isinstance(part, int) and not isinstance(part, bool) for part in value
        )
    return isinstance(value, str) and bool(value) and value.isprintable()


def _within(knob: Knob, value: object) -> bool:
    if knob.choices:
        return str(value) in knob.choices
    parts: Sequence[object] = value if isinstance(value, tuple) else (value,)
    numbers = [part for part in parts if isinstance(part, int | float)]
    return all(
        (knob.minimum is None or number >= knob.minimum)
        and (knob.maximum is None or number <= knob.maximum)
        for number in numbers
    )


def _refused(engine: Engine, knob: Knob, value: object) -> ServerError:
    shown = show(value) if isinstance(value, int | float | str | tuple) else repr(value)
    return ServerError(f"{engine.name}: {knob.name}={shown} cannot be: it takes {describe(knob)}.")


def _example(engine: Engine) -> str:
    if not engine.knobs:
        return "max_num_seqs=16"
    return f"{engine.knobs[0].name}={show(engine.knobs[0].default)}"
