"""Folders for Unix sockets, whose paths hold 107 bytes and no more."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from servers.errors import ServerError

PATH_BYTES = 107


def fit(folder: Path, name_bytes: int) -> bool:
    """Whether a socket whose name below `folder` takes `name_bytes` may have its path there."""
    return len(bytes(folder)) + 1 + name_bytes <= PATH_BYTES


def folder(workspace: Path, name_bytes: int) -> Path:
    """Where an instance may put sockets whose names below the folder take `name_bytes`.

    In its workspace where that fits, else a folder of its own below the system's for temporary
    files, which `cleanup` removes.
    """
    inside = workspace / "tmp"
    if fit(inside, name_bytes):
        return inside
    digest = hashlib.sha256(bytes(workspace)).hexdigest()[:8]
    return Path(tempfile.gettempdir()) / f"lab-{digest}"


def make(workspace: Path, name_bytes: int) -> None:
    """Make that folder, empty: servers leave their sockets behind.

    Raises `ServerError` where somebody else's stands in its place.
    """
    made = folder(workspace, name_bytes)
    shutil.rmtree(made, ignore_errors=True)
    made.parent.mkdir(parents=True, exist_ok=True)
    try:
        made.mkdir(mode=0o700)
    except OSError as error:
        raise ServerError(
            f"The folder {made} for an instance's sockets cannot be made ({error}). Remove what "
            "stands there, or set SERVING_LAB_HOME to a shorter path."
        ) from None


def cleanup(workspace: Path, name_bytes: int) -> tuple[str, ...] | None:
    """The command that removes the folder when the instance has gone, if it lies outside."""
    made = folder(workspace, name_bytes)
    return None if made.is_relative_to(workspace) else ("rm", "-rf", "--", os.fspath(made))
