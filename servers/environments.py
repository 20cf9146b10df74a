"""Isolated Python environments, one an engine, built with uv from hashed requirements.

A stamp beside the interpreter holds the hash of everything the build was made from. It is
written last, and the folder takes its name only then: a build that was interrupted is never
taken for a finished one, and a finished one costs a few milliseconds to check.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from servers import logs, paths, wheelhouse
from servers.contract import Device, Environment, Say
from servers.errors import ServerError
from servers.locks import locked, write_atomically

_SAY_EVERY_S = 5.0
_FORMAT = "1"
# Of the user's own Python: they would leak into an isolated one.
_NOT_PASSED_ON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "MPLBACKEND")
# onnxruntime, which several engines compute with, else sends what it does to its makers, and keeps
# a number of this machine in the user's home for it.
_TELEMETRY_OFF = {
    "DO_NOT_TRACK": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}


def ensure(environment: Environment, device: Device, say: Say) -> Path:
    """The Python of the environment, built first if it is not there or its requirements changed.

    Two callers at once build it once. Raises `ServerError` if uv is missing, a requirements
    file is missing or the installation fails (with the log's last lines); Ctrl-C stops it and
    leaves nothing that a later call takes for finished.
    """
    requirements = _requirements(environment, device)
    wanted = _fingerprint(environment, device, requirements)
    folder = paths.environments() / environment.name
    if _is_built(folder, wanted):
        return _python(folder)
    waiting = f"environment {environment.name}: another program is building it; waiting"
    with locked(folder.with_name(f".{folder.name}.lock"), lambda: say(waiting)) as lock:
        if not _is_built(folder, wanted):
            _build(environment, device, requirements, wanted, _Steps(environment.name, lock, say))
    return _python(folder)


def installed(environment: Environment, device: Device) -> bool:
    """Whether the environment stands as its requirements are now: `ensure` then costs nothing."""
    wanted = _fingerprint(environment, device, _requirements(environment, device))
    return _is_built(paths.environments() / environment.name, wanted)


def find_uv() -> str:
    """The uv on PATH, else the one the Makefile puts in the lab's folder; `ServerError` if none."""
    own = paths.ROOT / ".lab" / "tools" / "uv" / "bin" / "uv"
    found = shutil.which("uv") or (str(own) if own.exists() else None)
    if found is None:
        raise ServerError(
            f"uv, which builds the engines' environments, is neither on PATH nor at {own}. "
            "`make uv` puts it there; `pip install uv` does as well."
        )
    return found


def site_packages(python: Path) -> Path | None:
    """The packages of the environment whose interpreter is `python`; `None` if it is of none."""
    found = sorted(python.parent.parent.glob("lib/python3.*/site-packages"))
    return found[0] if found else None


def variables() -> dict[str, str]:
    """The user's environment variables for a program of an isolated environment.

    Without those that are of the user's own Python, and with telemetry off.
    """
    kept = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED_ON}
    return kept | _TELEMETRY_OFF


def run(
    what: str, argv: Sequence[str], cwd: Path, env: Mapping[str, str], timeout_s: float
) -> None:
    """Run a program of an environment that makes `what`, to its end.

    Raises `ServerError` with the last lines it wrote if it fails, or takes longer.
    """
    try:
        ended = subprocess.run(
            argv,
            cwd=cwd,
            env={**variables(), **env},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerError(f"{what} cannot be made: {error}.") from None
    if ended.returncode != 0:
        said = [*ended.stdout.splitlines(), *ended.stderr.splitlines()][-8:]
        raise ServerError(f"Making {what} failed ({ended.returncode}):\n{logs.quoted(said)}")


class _Steps:
    """Runs uv's commands of one build, into one log, showing progress."""

    def __init__(self, name: str, lock: int, say: Say) -> None:
        self.name = name
        self.uv = find_uv()
        self.log = paths.environments() / f"{name}.log"
        self.log.write_bytes(b"")
        self._lock = lock
        self._say = say
        self._began = time.monotonic()

    def say(self, words: str) -> None:
        self._say(f"environment {self.name}: {words}")

    def run(self, what: str, *arguments: str, find_links: str | None = None) -> None:
        """Run `uv ARGUMENTS`; raises `ServerError` with the log's end if it fails."""
        self.say(what)
        with self.log.open("ab") as output:
            output.write(f"\n$ uv {' '.join(arguments)}\n".encode())
            output.flush()
            # The lock goes along: if we are killed, it is held until uv has ended as well.
            process = subprocess.Popen(
                [self.uv, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=wheelhouse.uv_environment(find_links),
                pass_fds=(self._lock,),
            )
        try:
            self._watch(process, what)
        except BaseException:
            process.terminate()
            process.wait()
            raise
        if process.returncode != 0:
            raise ServerError(self._failure(what, process.returncode))

    def took(self) -> float:
        return time.monotonic() - self._began

    def _watch(self, process: subprocess.Popen[bytes], what: str) -> None:
        while True:
            try:
                process.wait(timeout=_SAY_EVERY_S)
                return
            except subprocess.TimeoutExpired:
                line = (logs.tail(self.log, 1) or [""])[-1]
                self.say(f"{what}, {self.took():.0f} s: {line[:100]}")

    def _failure(self, what: str, code: int) -> str:
        return (
            f"The environment {self.name!r} could not be built: {what} failed (uv ended with "
            f"{code}). Read the lines below (all in {self.log}); with a network or disk error put "
            "right, the same command goes on from uv's cache. Wheels of your own are found "
            f"through PIP_FIND_LINKS.\n{logs.quoted(logs.tail(self.log, 12))}"
        )


def _build(
    environment: Environment, device: Device, requirements: Path, wanted: str, steps: _Steps
) -> None:
    """Build beside the final folder and move it there when it is whole (it is relocatable)."""
    folder = paths.environments() / environment.name
    building = folder.with_name(f".{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    try:
        python = str(_python(building))
        steps.run(
            f"making it with Python {environment.python}",
            *("venv", "--relocatable", "--python", _interpreter(environment), str(building)),
        )
        text = requirements.read_text(encoding="utf-8")
        count = sum(1 for line in text.splitlines() if "==" in line and not line.startswith(" "))
        steps.run(
            f"installing {count} packages",
            *("pip", "sync", "--python", python, "--require-hashes", str(requirements)),
        )
        if environment.torch is not None and not _lists_torch(text):
            _install_torch(environment.torch, device, python, steps)
        write_atomically(building / ".stamp", wanted)
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    steps.say(f"built in {steps.took():.0f} s")


def _install_torch(version: str, device: Device, python: str, steps: _Steps) -> None:
    """After the sync, which removes whatever its file does not list; torch's needs are in it."""
    install = ("pip", "install", "--python", python, "--no-deps", f"torch=={version}")
    links = wheelhouse.find_links()
    if device == "cpu" and wheelhouse.has_wheel(links, "torch", version):
        what = f"installing torch {version} from the wheelhouse"
        steps.run(what, *install, "--no-index", find_links=links)
    else:
        backend = "cpu" if device == "cpu" else "auto"
        what = f"installing torch {version} for {device}"
        steps.run(what, *install, "--torch-backend", backend, find_links=links)


def _requirements(environment: Environment, device: Device) -> Path:
    name = environment.cuda if device == "cuda" and environment.cuda else "requirements.txt"
    path = environment.folder / name
    if not path.is_file():
        raise ServerError(f"The environment {environment.name!r} has no {path}; restore the file.")
    return path


def _fingerprint(environment: Environment, device: Device, requirements: Path) -> str:
    parts: Sequence[str] = (_FORMAT, environment.python, str(environment.torch), device)
    digest = hashlib.sha256("\0".join(parts).encode())
    digest.update(requirements.read_bytes())
    return digest.hexdigest()


def _is_built(folder: Path, wanted: str) -> bool:
    try:
        stamp = (folder / ".stamp").read_text(encoding="utf-8")
    except OSError:
        return False
    return stamp == wanted and os.access(_python(folder), os.X_OK)


def _python(folder: Path) -> Path:
    return folder / "bin" / "python"


def _interpreter(environment: Environment) -> str:
    """What uv is to build on: this very Python where it is of the version, else any it finds."""
    if f"{sys.version_info.major}.{sys.version_info.minor}" == environment.python:
        return str(getattr(sys, "_base_executable", sys.executable))
    return environment.python


def _lists_torch(requirements: str) -> bool:
    return any(line.startswith("torch==") for line in requirements.splitlines())
