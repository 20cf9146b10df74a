"""A manifest's `load.arrival` as people say it."""

from collections.abc import Mapping
from typing import Any

_RATES = {
    "ramp": ("from_rps", "to_rps", "to"),
    "spike": ("base_rps", "peak_rps", "and once"),
    "diurnal": ("low_rps", "high_rps", "to"),
}


def in_words(arrival: Mapping[str, Any]) -> str:
    """`16 users`, `poisson 4 requests/s`, `ramp 1 to 10 requests/s`, `trace azure.csv, 2 × speed`.

    What a kind that this version does not know is, its name says.
    """
    kind = str(arrival.get("kind"))
    users, rate_rps = arrival.get("users"), arrival.get("rate_rps")
    if users is not None:
        return f"{users} {'user' if users == 1 else 'users'}"
    if rate_rps is not None:
        burstiness = arrival.get("burstiness")
        more = "" if burstiness is None else f", burstiness {burstiness:g}"
        return f"{kind} {rate_rps:g} requests/s{more}"
    if kind in _RATES:
        first, second, between = _RATES[kind]
        return f"{kind} {arrival[first]:g} {between} {arrival[second]:g} requests/s"
    if kind == "steps":
        return f"steps of {', '.join(f'{rate:g}' for rate in arrival['rates_rps'])} requests/s"
    if kind == "trace":
        source = arrival.get("file") or arrival.get("run_id")
        faster = "" if arrival.get("speed") == 1 else f", {arrival.get('speed'):g} × speed"
        return f"trace {source}{faster}"
    return kind
