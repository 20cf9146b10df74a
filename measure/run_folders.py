"""Run folders as wholes, below the folder of all runs: which is one, deleting it.

What is half done stands in folders whose names begin with a dot, which are no runs to anybody:
`.deleted-…` is a run that is going, `.importing-…` one that is coming. Either is one rename away
from being, or from not being, a run.
"""

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from measure import run_files
from measure.errors import MeasureError
from measure.run_files import MANIFEST

DELETED, IMPORTING = ".deleted-", ".importing-"
_NAME = re.compile(r"[^./\\\x00-\x1f\x7f][^/\\\x00-\x1f\x7f]*")
_LONGEST_NAME = 200


def is_name(name: str) -> bool:
    """Whether a run's folder may be called that: one visible folder, no path to elsewhere."""
    return bool(_NAME.fullmatch(name)) and len(name.encode("utf-8", "replace")) <= _LONGEST_NAME


def find(root: Path, name: str) -> Path:
    """The folder of the run `name`.

    Raises:
        MeasureError: there is none in `root` itself, or it is a link to elsewhere.
    """
    folder = root / name
    if not is_name(name) or not folder.is_dir() or not (folder / MANIFEST).exists():
        raise MeasureError(
            f"There is no run {name} in {root}. Somebody may have moved, renamed or deleted it."
        )
    if folder.is_symlink():
        raise MeasureError(
            f"{folder} is a link to {folder.readlink()}, and only folders of {root} itself are "
            "touched. Change it where it really is, or remove the link yourself."
        )
    return folder


def delete(root: Path, name: str) -> None:
    """Delete a run for good. It is gone for everybody by one rename, then its files go.

    Raises:
        MeasureError: there is no such run, it still goes on, it is a link, or the folder of the
            runs cannot be written. The run is then still whole.
    """
    folder = find(root, name)
    if run_files.is_running(folder):
        raise MeasureError(
            f"The run {name} still goes on and is not deleted. Stop its load test, or wait for "
            "its end."
        )
    gone = root / f"{DELETED}{uuid.uuid4().hex}"
    try:
        folder.rename(gone)
    except OSError as error:
        raise MeasureError(
            f"The run {name} could not be deleted ({error.strerror}); it is still whole. Make "
            f"{root} writable and try again."
        ) from error
    shutil.rmtree(gone, ignore_errors=True)


@contextmanager
def place_to_import(root: Path) -> Iterator[Path]:
    """A new hidden folder below `root`, locked while it is used, removed after it.

    Raises:
        MeasureError: it cannot be made.
    """
    place = root / f"{IMPORTING}{uuid.uuid4().hex}"
    try:
        place.mkdir(parents=True)
        lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise MeasureError(
            f"Nothing can be imported into {root} ({error.strerror}). Make it writable, or make "
            "room there."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(lock)


def sweep(root: Path) -> None:
    """Remove what a process that was killed left half deleted or half imported."""
    for leftover in [*root.glob(f"{DELETED}*"), *root.glob(f"{IMPORTING}*")]:
        if leftover.is_symlink() or not leftover.is_dir():
            continue
        with suppress(OSError):
            lock = os.open(leftover, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(leftover, ignore_errors=True)
            finally:
                os.close(lock)
