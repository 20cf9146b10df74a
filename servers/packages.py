"""Debian packages unpacked into a folder: no root, nothing installed, no system file touched."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_PATIENCE_S = 300


def unpack(package: str, folder: Path) -> str:
    """Unpack the newest `package` as `folder`; why that failed in a line, empty if it did not.

    What `folder` held is replaced by the whole package or left as it was. Links that lead to the
    root of a system are made to lead into `folder`. The caller sees to it that nobody else does
    the same at the same time.
    """
    for tool in ("apt-get", "dpkg"):
        if shutil.which(tool) is None:
            return f"this system has no {tool} to take it from"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        work = Path(temporary)
        failure = _fetch(package, work)
        found = next(work.glob(f"{package}_*.deb"), None)
        if failure or found is None:
            return failure or "apt-get brought no package"
        failure = _run(work, "dpkg", "-x", str(found), str(work / "unpacked"))
        if failure:
            return failure
        _relink(work / "unpacked")
        shutil.rmtree(folder, ignore_errors=True)
        (work / "unpacked").rename(folder)
    return ""


def _fetch(package: str, work: Path) -> str:
    if not _run(work, "apt-get", "download", package):
        return ""
    # No package lists here (usual in containers): fetch them, into a folder of our own.
    state = _private_apt(work)
    update = _run(work, "apt-get", "update", *state)
    return update or _run(work, "apt-get", "download", package, *state)


def _private_apt(work: Path) -> tuple[str, ...]:
    for name in ("lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    return (
        *("-o", f"Dir::State::Lists={work / 'lists'}"),
        *("-o", f"Dir::Cache={work / 'cache'}"),
        *("-o", "APT::Sandbox::User=root"),
    )


def _relink(root: Path) -> None:
    """Absolute links whose target the package brings along: made relative, within `root`."""
    for link in [path for path in root.rglob("*") if path.is_symlink()]:
        target = link.readlink()
        inside = root / target.relative_to("/") if target.is_absolute() else link
        if target.is_absolute() and inside.exists():
            link.unlink()
            link.symlink_to(os.path.relpath(inside, link.parent))


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
