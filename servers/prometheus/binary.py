"""Where Prometheus' program comes from: the user's, PATH, else the system's package, unpacked."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from servers import packages, paths
from servers.errors import ServerError
from servers.locks import locked

_VARIABLE = "SERVING_LAB_PROMETHEUS"


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
            failure = packages.unpack("prometheus", _folder())
            if failure:
                raise ServerError(_help(failure))
            found = find()
    if found is None:
        raise ServerError(_help("the package has no program in it"))
    return found


def promtool() -> Path | None:
    """Prometheus' own checker of rules, which comes with it; `None` where it does not."""
    program = find()
    beside = program.with_name("promtool") if program else None
    if beside is not None and os.access(beside, os.X_OK):
        return beside
    on_path = shutil.which("promtool")
    return Path(on_path) if on_path else None


def _folder() -> Path:
    return paths.ROOT / ".lab" / "tools" / "prometheus"


def _help(why: str) -> str:
    return (
        f"Prometheus is not on PATH and could not be unpacked ({why}). Install it (Debian and "
        "Ubuntu: `apt install prometheus`; macOS: `brew install prometheus`; conda: package "
        f"`prometheus`) or set {_VARIABLE} to the program from its own release archive."
    )
