"""Where Prometheus' program comes from: the user's, PATH, else the system's package, unpacked."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from servers import paths
from servers.errors import ServerError
from servers.locks import locked

_VARIABLE = "SERVING_LAB_PROMETHEUS"
_PATIENCE_S = 300


def find() -> Path | None:
    """The program: `SERVING_LAB_PROMETHEUS`, else on PATH, else unpacked before; else `None`.

    Raises `ServerError` if the variable names something that cannot be run.
    """
    named = os.environ.get(_VARIABLE)
    if named:
        path = Path(named).expanduser()
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise ServerError(f"{_VARIABLE} is {named}, which is no program; correct or unset it.")
        return path
    on_path = shutil.which("prometheus")
    if on_path:
        return Path(on_path)
    unpacked = _folder() / "usr" / "bin" / "prometheus"
    return unpacked if os.access(unpacked, os.X_OK) else None


def ensure() -> Path:
    """The program, unpacked from the Debian package (no root needed) if there is none yet.

    Raises `ServerError` telling how to get it where that is not possible.
    """
    found = find()
    if found is not None:
        return found
    with locked(_folder().with_name(".prometheus.lock")):
        found = find()
        if found is None:
            _unpack_package()
            found = find()
    if found is None:
        raise ServerError(_help("the package has no program in it"))
    return found


def _folder() -> Path:
    return paths.ROOT / ".lab" / "tools" / "prometheus"


def _unpack_package() -> None:
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        raise ServerError(_help("this system has no apt-get to take it from"))
    folder = _folder()
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".prometheus.") as temporary:
        work = Path(temporary)
        if _run(work, "apt-get", "download", "prometheus"):
            # No package lists here (usual in containers): fetch them, into a folder of our own.
            state = _private_apt(work)
            _must_run(work, "apt-get", "update", *state)
            _must_run(work, "apt-get", "download", "prometheus", *state)
        package = next(work.glob("prometheus_*.deb"), None)
        if package is None:
            raise ServerError(_help("apt-get brought no package"))
        _must_run(work, "dpkg", "-x", str(package), str(work / "unpacked"))
        shutil.rmtree(folder, ignore_errors=True)
        (work / "unpacked").rename(folder)


def _private_apt(work: Path) -> tuple[str, ...]:
    for name in ("lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    return (
        *("-o", f"Dir::State::Lists={work / 'lists'}"),
        *("-o", f"Dir::Cache={work / 'cache'}"),
        *("-o", "APT::Sandbox::User=root"),
    )


def _run(work: Path, *argv: str) -> str:
    """Why the command failed, in a line; empty if it did not."""
    try:
        ended = subprocess.run(
            argv,
            cwd=work,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PATIENCE_S,
        )
    except subprocess.TimeoutExpired:
        return f"`{' '.join(argv[:2])}` took over {_PATIENCE_S} s"
    if ended.returncode == 0:
        return ""
    last = (ended.stderr.strip().splitlines() or ["it said nothing"])[-1]
    return f"`{' '.join(argv[:2])}` failed: {last}"


def _must_run(work: Path, *argv: str) -> None:
    failure = _run(work, *argv)
    if failure:
        raise ServerError(_help(failure))


def _help(why: str) -> str:
    return (
        f"Prometheus is not on PATH and could not be unpacked ({why}). Install it (Debian and "
        "Ubuntu: `apt install prometheus`; macOS: `brew install prometheus`; conda: package "
        f"`prometheus`) or set {_VARIABLE} to the program from its own release archive."
    )
