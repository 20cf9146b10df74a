"""Durations as people write them."""

import re

from lab.errors import LabError

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_duration_s(text: str) -> float:
    """`30s`, `500ms`, `2m`, `1h` or `90` (seconds), in seconds; `LabError` for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?", text.strip())
    if match is None:
        raise LabError(f"'{text}' is not a duration. Write 30s, 500ms, 2m or 1h.")
    return float(match[1]) * UNITS_S[match[2] or "s"]
