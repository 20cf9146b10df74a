"""What this machine has and lacks. Each check says what to do, and none changes anything."""

import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import psutil

from loadtests import calibration
from measure.manifest import machine
from servers.catalog import ENGINES
from servers.device import detect
from servers.environments import installed
from servers.paths import ROOT, home, models
from servers.prometheus import binary

GIB = 1024**3
DISK_NEEDED_GIB = 8
MEMORY_NEEDED_GIB = 8
SHM_NEEDED_GIB = 1


@dataclass(frozen=True)
class Check:
    """One line: what was looked at, how it is, and what to do if it is not well."""

    what: str
    state: Literal["ok", "missing", "note"]
    found: str
    advice: str = ""
    needed: bool = True


def checks() -> list[Check]:
    """Every check, in the order a person would put things right."""
    return [
        _python(),
        _uv(),
        _memory(),
        _disk(ROOT, "disk", DISK_NEEDED_GIB),
        _disk(Path("/dev/shm"), "shared memory", SHM_NEEDED_GIB),
        _device(),
        _prometheus(),
        *_environments(),
        _models(),
        _calibration(),
        _browser(),
    ]


def _python() -> Check:
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] <= (3, 13):
        return Check("Python", "ok", version)
    return Check("Python", "missing", version, "the lab is tested on Python 3.11 to 3.13")


def _uv() -> Check:
    private = ROOT / ".lab" / "tools" / "uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(private) if private.exists() else None)
    if found:
        return Check("uv", "ok", found)
    return Check("uv", "missing", "not on PATH", "`make lab` installs it into .lab/tools/uv")


def _memory() -> Check:
    available_gib = psutil.virtual_memory().available / GIB
    found = f"{available_gib:.1f} GiB free"
    if available_gib >= MEMORY_NEEDED_GIB:
        return Check("memory", "ok", found)
    advice = f"vLLM and Triton side by side on the CPU want {MEMORY_NEEDED_GIB} GiB"
    return Check("memory", "missing", found, advice, needed=False)


def _disk(folder: Path, what: str, needed_gib: int) -> Check:
    try:
        free_gib = shutil.disk_usage(folder).free / GIB
    except OSError:
        return Check(what, "missing", f"no {folder}", "the engines' processes talk through it")
    found = f"{free_gib:.1f} GiB free at {folder}"
    if free_gib >= needed_gib:
        return Check(what, "ok", found)
    return Check(what, "missing", found, f"the lab wants {needed_gib} GiB there", needed=False)


def _device() -> Check:
    if detect() == "cuda":
        return Check("GPU", "ok", "an NVIDIA driver answers")
    return Check("GPU", "note", "none", "engines run on the CPU, and say so", needed=False)


def _prometheus() -> Check:
    found = binary.find()
    if found:
        return Check("Prometheus", "ok", str(found))
    if shutil.which("apt-get") and shutil.which("dpkg"):
        advice = "`lab up prometheus` unpacks the system's package, without root"
        return Check("Prometheus", "note", "not on PATH", advice, needed=False)
    advice = "put a prometheus binary on PATH, or its path in SERVING_LAB_PROMETHEUS"
    return Check("Prometheus", "missing", "not on PATH", advice)


def _environments() -> list[Check]:
    lines = []
    for engine in ENGINES.values():
        if engine.environment is None:
            continue
        what = f"{engine.title} environment"
        if installed(engine.environment, detect()):
            lines.append(Check(what, "ok", "installed"))
        else:
            advice = f"`lab up {engine.name}` installs it"
            lines.append(Check(what, "note", "not installed yet", advice, needed=False))
    return lines


def _models() -> Check:
    made = sorted(p.name for p in models().iterdir() if p.is_dir()) if models().is_dir() else []
    if made:
        return Check("models", "ok", ", ".join(made))
    return Check("models", "note", "none made yet", "the first `lab up` makes them", needed=False)


def _calibration() -> Check:
    what, how = "calibration", "`lab calibrate` says how far the load test is off here"
    file = home() / calibration.FILE
    found = calibration.read(home())
    if found is None:
        told = f"{file} cannot be read" if file.exists() else "not calibrated"
        return Check(what, "note", told, how, needed=False)
    if not calibration.same_machine(found, machine()):
        return Check(what, "note", f"of another machine ({found['created']})", how, needed=False)
    tops = ", ".join(
        f"{top:,.0f} tokens/s with {processes} process{'es' if processes != '1' else ''}"
        for processes, top in found["ceilings"].items()
        if isinstance(top, int | float)
    )
    return Check(what, "ok", f"up to {tops} ({found['created'][:10]})", needed=False)


def _browser() -> Check:
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return Check("browser", "ok", found)
    display = "" if os.environ.get("DISPLAY") else " (and no display)"
    advice = "only the browser tests and `make notebooks` want one: install chromium"
    return Check("browser", "note", f"no Chromium on PATH{display}", advice, needed=False)
