"""What the lab has made on this machine: environments, models, its calibration."""

import os

from lab.doctor.check import Check, note
from loadtests import calibration
from measure.manifest import machine
from servers.catalog import ENGINES
from servers.contract import Device
from servers.environments import installed
from servers.paths import home, models


def folder() -> Check:
    """Whether the lab can write where it keeps what it makes."""
    what, where = "lab's own folder", home()
    there = where
    while not there.exists() and there != there.parent:
        there = there.parent
    if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
        return Check(what, "ok", str(where))
    advice = "make it a folder you may write in, or set SERVING_LAB_HOME to one"
    return Check(what, "missing", f"nothing can be written in {where}", advice)


def environments(device: Device) -> list[Check]:
    """A line for each environment; engines may share one."""
    lines: dict[str, Check] = {}
    for engine in ENGINES.values():
        if engine.environment is None or engine.environment.name in lines:
            continue
        what = f"{engine.environment.title or engine.title} environment"
        if installed(engine.environment, device):
            lines[engine.environment.name] = Check(what, "ok", "installed")
        else:
            advice = f"`lab up {engine.name}` installs it"
            lines[engine.environment.name] = note(what, "not installed yet", advice)
    return list(lines.values())


def made_models() -> Check:
    """The models in the lab's own folder."""
    made = [p.name for p in models().iterdir() if p.is_dir()] if models().is_dir() else []
    shown = sorted(name for name in made if not name.startswith("."))
    if shown:
        return Check("models", "ok", ", ".join(shown))
    return note("models", "none made yet", "the first `lab up` makes them")


def calibrated() -> Check:
    """How far the load test may be trusted here."""
    what, how = "calibration", "`lab calibrate` says how far the load test is off here"
    file = home() / calibration.FILE
    found = calibration.read(home())
    if found is None:
        return note(what, f"{file} cannot be read" if file.exists() else "not calibrated", how)
    if not calibration.same_machine(found, machine()):
        return note(what, f"of another machine ({found['created']})", how)
    tops = ", ".join(
        f"{top:,.0f} tokens/s with {processes} process{'es' if processes != '1' else ''}"
        for processes, top in found["ceilings"].items()
        if isinstance(top, int | float)
    )
    return Check(what, "ok", f"up to {tops} ({found['created'][:10]})", needed=False)
