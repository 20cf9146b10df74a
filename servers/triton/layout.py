"""Where tritonserver is, and the folder it loads its Python backend from.

The binary of the `nvidia-pytriton` wheel (and any tritonserver a person names) is used as it
is. Its Python backend needs three files side by side: the backend's library, its helper module
and the stub, a program that embeds one minor version of Python. Triton refuses links there, so
they are copied (3 MB) into the instance's workspace.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from servers import environments
from servers.errors import ServerError

CHOICE = "SERVING_LAB_TRITONSERVER"
_STUB = "triton_python_backend_stub"
_BACKEND_FILES = ("libtriton_python.so", "triton_python_backend_utils.py")


@dataclass(frozen=True)
class Binary:
    """A tritonserver and how it was chosen (`why` is shown to the person)."""

    path: Path
    why: str

    @property
    def home(self) -> Path:
        """The folder with `bin/` and `backends/` in it."""
        return self.path.parent.parent


def find(python: Path, environ: Mapping[str, str], program: Path | None) -> Binary:
    """The tritonserver to run: the one named in `SERVING_LAB_TRITONSERVER`, else `program` (found
    on PATH), else the one installed in the environment of `python`.

    Raises `ServerError` if the named one is no program, or if there is none at all.
    """
    named = environ.get(CHOICE)
    if named:
        path = Path(named)
        if not (path.is_file() and os.access(path, os.X_OK)):
            raise ServerError(
                f"{CHOICE}={named} is not a program that can be run. Give the full path of a "
                "tritonserver, or unset it to use the lab's own."
            )
        return Binary(path.resolve(), f"named by {CHOICE}")
    if program is not None:
        return Binary(program.resolve(), "found on PATH")
    path = site_packages(python) / "pytriton" / "tritonserver" / "bin" / "tritonserver"
    if not path.is_file():
        raise ServerError(
            f"No tritonserver is in the environment of {python}, and {CHOICE} names none. Remove "
            "that environment and start again to have it installed anew."
        )
    return Binary(path, "from the lab's environment")


def site_packages(python: Path) -> Path:
    """The packages of the virtual environment whose interpreter is `python`.

    Raises `ServerError` if there are none.
    """
    found = environments.site_packages(python)
    if found is None:
        raise ServerError(
            f"{python} does not belong to a virtual environment (no lib/python3.*/site-packages "
            "beside it), so Triton's models would find none of their packages."
        )
    return found


@dataclass(frozen=True)
class Interpreter:
    """Facts about a Python that the stub embeds: `version` such as `3.11`, its shared library."""

    version: str
    library: Path | None


@lru_cache(maxsize=8)
def interpreter(python: Path) -> Interpreter:
    """Ask `python` for its version and shared library. Raises `ServerError` if it cannot run."""
    code = (
        "import sys, sysconfig as s; print(f'{sys.version_info[0]}.{sys.version_info[1]}');"
        "print(s.get_config_var('LIBDIR') or ''); print(s.get_config_var('INSTSONAME') or '')"
    )
    try:
        answer = subprocess.run(
            [str(python), "-c", code], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise ServerError(f"The Python of Triton's models, {python}, cannot run: {error}") from None
    version, folder, name = answer.stdout.splitlines()[:3]
    library = Path(folder) / name
    found = folder and ".so" in name and library.is_file()
    return Interpreter(version, library if found else None)


def library_path(binary: Binary, python: Path, environ: Mapping[str, str]) -> str:
    """`LD_LIBRARY_PATH` of the server: the wheel's own libraries, this Python's, what was set."""
    folders = []
    wheel = binary.home.parent.parent / "nvidia_pytriton.libs"
    if wheel.is_dir():
        folders.append(str(wheel))
    library = interpreter(python).library
    if library is not None:
        folders.append(str(library.parent))
    folders += [part for part in environ.get("LD_LIBRARY_PATH", "").split(":") if part]
    return ":".join(folders)


def stub_version(stub: Path) -> str | None:
    """The minor version of Python a stub embeds, such as `3.11`, read from what it links."""
    match = re.search(rb"libpython(3\.\d+)\.so", stub.read_bytes())
    return match.group(1).decode() if match else None


def find_stub(home: Path, version: str) -> Path:
    """The stub for Python `version` below a Triton home. Raises `ServerError` if there is none."""
    candidates = (
        home / "python_backend_stubs" / version / _STUB,
        home / "backends" / "python" / _STUB,
    )
    present = [path for path in candidates if path.is_file()]
    for path in present:
        if stub_version(path) == version:
            return path
    has = ", ".join(str(stub_version(path)) for path in present) or "no stub at all"
    raise ServerError(
        f"The tritonserver in {home} has no Python backend stub for Python {version}, the Python "
        f"of the lab's Triton models (it has: {has}). Unset {CHOICE} to use the lab's own "
        "tritonserver, or name one whose backends/python holds a matching stub."
    )


def lay_out(binary: Binary, python: Path, backends: Path) -> None:
    """Fill `backends/python` with copies of the three files. Safe to repeat.

    Raises `ServerError` if the server has no Python backend or none for this Python, or if this
    Python has no shared library (a statically linked build), which the stub needs.
    """
    facts = interpreter(python)
    if facts.library is None:
        raise ServerError(
            f"{python} is a Python without a shared library (libpython{facts.version}.so), which "
            "Triton's Python backend needs. Use a Python built with --enable-shared: the one of "
            "the system, of conda or of uv."
        )
    source = binary.home / "backends" / "python"
    missing = [name for name in _BACKEND_FILES if not (source / name).is_file()]
    if missing:
        raise ServerError(
            f"{binary.path} ({binary.why}) has no Python backend: {', '.join(missing)} is not in "
            f"{source}. The lab's models need one; unset {CHOICE} to use the lab's own server."
        )
    target = backends / "python"
    target.mkdir(parents=True, exist_ok=True)
    for path in [
        *(source / name for name in _BACKEND_FILES),
        find_stub(binary.home, facts.version),
    ]:
        copy(path, target / path.name)


def copy(source: Path, target: Path) -> None:
    """Copy a file with its mode unless an equal copy (size and time) is there, never half of it."""
    if target.exists():
        old, new = target.stat(), source.stat()
        if (old.st_size, int(old.st_mtime)) == (new.st_size, int(new.st_mtime)):
            return
    partial = target.with_name(target.name + ".partial")
    shutil.copy2(source, partial)
    partial.replace(target)
