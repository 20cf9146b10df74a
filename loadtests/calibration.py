"""What `lab calibrate` found out about this machine, for the manifests of later runs.

`<lab home>/calibration.json` is its file; the lab writes it, here it is only read.

    schema     serving-lab/calibration/1
    created    when the newest level was measured
    machine    `cpu` and `cores` it holds for
    versions   of Python, the lab, Locust, gevent
    levels     [{processes, streams, tokens_per_s, ttft_p50, ttft_p99, gap_p50, gap_p99: {true_s,
               measured_s, error_s}, worst_ttft_error_s, server_late_p99_s, cpu_us_per_chunk, …}]
    ceilings   {"<processes>": highest token rate whose TTFT (p50, p99) was within 1% or 1 ms}
    limits     {"<processes>": client, server or null: what came first above it}
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

CALIBRATION_SCHEMA = "serving-lab/calibration/1"
FILE = "calibration.json"


def same_machine(calibration: Mapping[str, Any], machine: Mapping[str, Any]) -> bool:
    """Whether a calibration was made on such a machine: the same processor, as many cores."""
    made_on = calibration.get("machine")
    return isinstance(made_on, Mapping) and all(
        made_on.get(key) == machine.get(key) for key in ("cpu", "cores")
    )


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def read(home: Path) -> dict[str, Any] | None:
    """The calibration of this home; `None` if there is none that can be read."""
    try:
        text = (home / FILE).read_text(encoding="utf-8")
        calibration = json.loads(text, parse_constant=_no_constant)
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(calibration, dict) or calibration.get("schema") != CALIBRATION_SCHEMA:
        return None
    kinds = {"created": str, "machine": dict, "levels": list, "ceilings": dict}
    sound = all(isinstance(calibration.get(key), kind) for key, kind in kinds.items())
    return calibration if sound else None


def applying(home: Path, processes: int, machine: Mapping[str, Any]) -> dict[str, Any] | None:
    """The manifest's `load.calibration`: what holds for a run of so many processes here.

    `None` if this machine was not calibrated with that number of processes.
    """
    calibration = read(home)
    if calibration is None or not same_machine(calibration, machine):
        return None
    ceiling = calibration["ceilings"].get(str(processes))
    if isinstance(ceiling, bool) or not isinstance(ceiling, int | float):
        return None
    if not 0 <= ceiling <= sys.float_info.max:
        return None
    return {
        "created": calibration["created"],
        "processes": processes,
        "ceiling_tokens_per_s": float(ceiling),
    }
