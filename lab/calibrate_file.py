"""The calibration of this machine on disk: read, merged with new levels, written whole."""

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lab.calibrate_level import Level, ceiling
from loadtests.calibration import CALIBRATION_SCHEMA, FILE, read, same_machine
from measure.files import write_json
from measure.manifest import machine
from servers.paths import home


def path() -> Path:
    """Where it is kept."""
    return home() / FILE


def save(levels: Sequence[Level]) -> Path:
    """Put these levels into the file; those of other numbers of processes stay. Its path."""
    here = {key: value for key, value in machine().items() if key in ("cpu", "cores")}
    path().parent.mkdir(parents=True, exist_ok=True)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    write_json(path(), merged(read(home()), levels, here, now, _versions()))
    return path()


def merged(
    old: Mapping[str, Any] | None,
    levels: Sequence[Level],
    here: Mapping[str, Any],
    now: str,
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """What the file holds after `levels` of one number of processes were measured. Pure.

    An older calibration of another machine is dropped.
    """
    processes = levels[0].processes
    kept: Mapping[str, Any] = old if old is not None and same_machine(old, here) else {}
    found = ceiling(levels)
    return {
        "schema": CALIBRATION_SCHEMA,
        "created": now,
        "machine": dict(here),
        "versions": dict(versions),
        "levels": [
            *(one for one in kept.get("levels", ()) if one.get("processes") != processes),
            *({**one.as_dict(), "created": now} for one in levels),
        ],
        "ceilings": {**kept.get("ceilings", {}), str(processes): found.tokens_per_s},
        "limits": {**kept.get("limits", {}), str(processes): found.limit},
    }


def _versions() -> dict[str, str]:
    names = ("serving-lab", "locust", "gevent")
    return {"python": platform.python_version(), **{name: version(name) for name in names}}
