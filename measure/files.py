"""Writing a file whole or not at all."""

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from measure.errors import DamagedRunError

_HALF_A_LETTER = re.compile(r"\\u[dD][89a-fA-F]")


def replace_file(path: Path, write: Callable[[Path], None]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in the place of `path`.

    A reader sees the old file or the new one, also when the process or the machine dies.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def plain(value: Any) -> Any:
    """The same facts as JSON can hold them: no NaN or infinity (they become null), no numpy."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Path):
        return str(value)
    return value


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write `value` as JSON, whole or not at all; NaN becomes null."""
    text = json.dumps(plain(value), indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    replace_file(path, lambda temporary: _write_text(temporary, text))


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON; what is not known is null")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        DamagedRunError: the file cannot be read, or is not a JSON object.
    """
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text, parse_constant=_no_constant)
        if _HALF_A_LETTER.search(text):
            # JSON can spell half a letter, which nothing can show, write or send to a browser.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedRunError(
            f"{path} cannot be read ({error}). It is part of a run folder; restore it from a copy, "
            f"or move {path.parent} out of the way."
        ) from error
    if not isinstance(value, dict):
        raise DamagedRunError(
            f"{path} holds a JSON {type(value).__name__} where a run folder has an object. "
            f"Restore it from a copy, or move {path.parent} out of the way."
        )
    return value


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
