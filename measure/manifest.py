"""The manifest of a run: what was run, on what, with which versions. Built and checked here."""

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from measure import formats
from measure.arrival import in_words
from measure.errors import DamagedRunError, MeasureError
from measure.slo import Slo
from measure.warmup import problem as warmup_problem

RUN_SCHEMA = "serving-lab/run/1"

_ENGINE = ("name", "version", "settings", "argv", "model", "device")
_LOAD = (
    "scenario", "protocol", "host", "arrival", "duration_s", "warmup", "prompt",
    "output_tokens", "seed", "workers",
)  # fmt: skip
CLOSED_LOOP = "closed"


def new_run_id(engine: str, scenario: str, now: datetime) -> str:
    """A name that sorts by time and says what it was: `20261122-174501-vllm-chat`."""
    words = (re.sub(r"[^a-z0-9_.]+", "-", word.lower()).strip("-.") for word in (engine, scenario))
    return "-".join([now.strftime("%Y%m%d-%H%M%S"), *(word for word in words if word)])


def new_manifest(
    *,
    run_id: str,
    epoch_s: float,
    load: Mapping[str, Any],
    engine: Mapping[str, Any] | None = None,
    name: str | None = None,
    slo: Slo | None = None,
    versions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """A whole manifest of a run that has not finished.

    Args:
        run_id: from `new_run_id`, the folder's name.
        epoch_s: wall-clock time of the run's zero, seconds since 1970.
        load: `scenario`, `protocol`, `host`, `arrival` {kind, rate_rps or users} are required;
            `duration_s`, `warmup` (as `measure.warmup` has it), `prompt`, `output_tokens`, `seed`,
            `workers` may be given.
            The arrival kind is `closed`, or the name of an open-loop process.
        engine: `name, version, settings, argv, model, device`, as far as known.
        name: a person's name for the run.
        slo: what answers are held against.
        versions: of the load test and what it uses; Python and the lab are added.

    Raises:
        MeasureError: something required is missing.
    """
    manifest = {
        "schema": RUN_SCHEMA,
        "run_id": run_id,
        "name": name or run_id,
        "created": datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds"),
        "epoch_s": epoch_s,
        "finished": False,
        "engine": {**dict.fromkeys(_ENGINE), "settings": {}, **(engine or {})},
        "load": {**dict.fromkeys(_LOAD), "workers": 1, **load, "warmup": _warmup(load)},
        "machine": machine(),
        "versions": {**_own_versions(), **(versions or {})},
        "git_commit": git_commit(),
        "slo": slo.as_dict() if slo and slo.asked else None,
    }
    wrong = problem(manifest)
    if wrong:
        raise MeasureError(f"The manifest of run {run_id} is not complete: {wrong}.")
    return manifest


def _warmup(load: Mapping[str, Any]) -> Any:
    """The rule as it was given, for `problem` to look at; a time alone is the fixed rule."""
    given = load.get("warmup")
    return (
        given if given is not None else {"rule": "fixed", "duration_s": load.get("warmup_s") or 0.0}
    )


def problem(manifest: Mapping[str, Any]) -> str | None:
    """What is wrong with a manifest, or `None`. Keys this version does not know are let be."""
    schema = manifest.get("schema")
    if schema != RUN_SCHEMA:
        return f"its schema is {schema!r} and this version of the lab reads {RUN_SCHEMA!r}"
    wrong = formats.problem(manifest, "manifest")
    if wrong:
        return wrong
    arrival = manifest["load"]["arrival"]
    try:
        in_words(arrival)
    except (KeyError, TypeError, ValueError) as error:
        return f"its load.arrival is no load of the kind {arrival['kind']!r} ({error!r})"
    warmup = manifest["load"].get("warmup")
    wrong = None if warmup is None else warmup_problem(warmup)
    return f"its load.warmup {wrong}" if wrong else None


def check(manifest: Mapping[str, Any], path: Path) -> None:
    """Raise `DamagedRunError` if the manifest read from `path` is not one this lab can read."""
    wrong = problem(manifest)
    if wrong:
        raise DamagedRunError(
            f"{path} is not the manifest of a run that this lab can read: {wrong}. Use the version "
            "of the lab that wrote it, or restore the file from a copy."
        )


def machine() -> dict[str, Any]:
    """This machine: processor, cores that may be used, memory, GPUs (empty without any)."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "gpus": _gpus(),
    }


def git_commit() -> str | None:
    """The commit of the lab itself, `-dirty` if files differ; `None` outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    return _output("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40")


def _own_versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "system": platform.platform()}
    with suppress(PackageNotFoundError):
        found["serving-lab"] = version("serving-lab")
    return found


def _cpu() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or platform.machine()
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else platform.machine()


def _gpus() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    names = _output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return [name.strip() for name in (names or "").splitlines() if name.strip()]


def _output(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
