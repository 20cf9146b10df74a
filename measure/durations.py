"""Durations as people write them."""

import math
import re

from measure.errors import MeasureError

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


def parse_duration_s(text: str) -> float:
    """`30s`, `500ms`, `1.5m`, `1h` or `90` (seconds), in seconds.

    Raises:
        MeasureError: it is nothing of the kind.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)?", text.strip())
    value_s = float(match[1]) * _UNITS_S[match[2]] if match else math.inf
    if value_s == math.inf:
        raise MeasureError(
            f"{text!r} is not a duration such as 30s, 500ms, 2m or 1h. (A bare number is seconds.)"
        )
    return value_s
