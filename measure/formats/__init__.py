"""Whether a file of a run holds the kinds of values that a run has, by JSON Schemas beside this.

A file can be whole JSON with all its keys and still hold a text where a number belongs: another
tool's, another version's, or one that somebody edited. Who reads it should learn that once, where
it is opened, and not from whatever first counts with it.
"""

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

import fastjsonschema

_FOLDER = Path(__file__).parent


def problem(value: Mapping[str, Any], name: Literal["manifest", "summary"]) -> str | None:
    """What is wrong with the object, the first thing found; `None` if it is of this format."""
    try:
        _checks(name)(value)
    except fastjsonschema.JsonSchemaValueException as error:
        where = str(error.name).removeprefix("data").removeprefix(".")
        if error.rule == "required":
            before = f"{where}." if where else ""
            absent = [before + key for key in error.rule_definition if key not in error.value]
            return f"it has no {', '.join(absent)}"
        return f"its {where}{str(error.message).removeprefix(str(error.name))}"
    return None


@cache
def _checks(name: str) -> Callable[[Any], Any]:
    """Compiled once: a list of runs checks hundreds of files."""
    schema = json.loads((_FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    checks: Callable[[Any], Any] = fastjsonschema.compile(schema)
    return checks
