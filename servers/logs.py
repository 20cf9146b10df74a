"""What a program has written to its log, for a person to read."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path

_TAIL_BYTES = 65536
_ERROR = re.compile(r"\b\w*(?:Error|Exception): \S.*")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")


def tail(log: Path, lines: int) -> list[str]:
    """The last non-empty lines of a log, without terminal colours; fewer if there are fewer."""
    try:
        with log.open("rb") as file:
            file.seek(max(log.stat().st_size - _TAIL_BYTES, 0))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    # A progress bar overwrites its line: keep what it showed last.
    shown = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return [line for line in (_ESCAPES.sub("", line).rstrip() for line in shown) if line][-lines:]


def first_error(log: Path) -> str | None:
    """The log's first line that names an exception: later ones often only follow from it."""
    found = (_ERROR.search(line) for line in tail(log, sys.maxsize))
    return next((match[0][:300] for match in found if match), None)


def quoted(lines: Iterable[str]) -> str:
    """Lines of another program, as an error shows them."""
    return "\n".join(f"  | {line}" for line in lines)
