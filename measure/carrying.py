"""Carrying runs from one lab to another: run folders as a zip file, out and in.

A zip from somebody else is not to be trusted. Nothing of it is written before every name in it has
been looked at; it is unpacked into a hidden folder, never larger than it says; what is unpacked is
opened as a run; and only then is it renamed to where the runs are, over nothing that is there.
"""

import json
import os
import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from measure import notes, run_files, run_folders, server_metrics
from measure.errors import MeasureError, RunExistsError
from measure.run_files import MANIFEST
from measure.store import open_run

# Parquet is compressed already.
_STORED = (".parquet",)
_KNOWN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_PIECE_BYTES = 1 << 20
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
# What other systems put into a zip of their own accord.
_NOT_OURS = ("__MACOSX", ".DS_Store", "Thumbs.db")


# A damaged zip shows in many ways: not all of them are its module's own error.
_NO_ZIP = (
    zipfile.BadZipFile,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
    zlib.error,
)
_LONGEST_MANIFEST = 10_000_000


@dataclass(frozen=True)
class Limits:
    """How much a zip may unpack to, at most."""

    members: int = 10_000
    size_bytes: int = 16 * 1024**3


@dataclass(frozen=True)
class _Member:
    """One file of a zip and the parts of its path."""

    info: zipfile.ZipInfo
    parts: tuple[str, ...]


def size_bytes(folder: Path) -> int:
    """What the files of a run folder take, links left out."""
    return sum(file.stat().st_size for file in _files(folder))


def export_runs(root: Path, names: Sequence[str], target: Path | BinaryIO) -> None:
    """Write these runs as one zip, a folder a run, piece by piece.

    Args:
        root: the folder of the runs.
        names: the runs, at least one.
        target: a new file, which is removed again if it cannot be written whole; or what can be
            written to.

    Raises:
        MeasureError: a run is not there or still goes on, or the target cannot be written.
    """
    folders = [run_folders.find(root, name) for name in dict.fromkeys(names)]
    for folder in folders:
        if run_files.is_running(folder):
            raise MeasureError(
                f"The run {folder.name} still goes on, and half a run is not exported. Wait for "
                "its end."
            )
    try:
        if isinstance(target, Path):
            _to_file(folders, target)
        else:
            _write(folders, target)
    except FileExistsError as error:
        raise MeasureError(f"{target} is there already. Move it away, or give another.") from error
    except OSError as error:
        raise MeasureError(
            f"The runs could not be exported ({error}). Make room, or choose another place; "
            "the runs themselves are as they were."
        ) from error


def import_runs(source: Path | BinaryIO, root: Path, limits: Limits | None = None) -> list[str]:
    """Bring the runs of a zip into `root`: all of them, or none.

    Args:
        source: a zip with a folder for each run, as `export_runs` writes it, or with the files of
            one run.
        root: the folder of the runs.
        limits: how much it may unpack to.

    Returns:
        The names of the runs.

    Raises:
        RunExistsError: a run of that name is there.
        MeasureError: it is no such zip, it is too large, something in it is not safe, or what it
            holds is no run that can be read. Nothing has then been added.
    """
    run_folders.sweep(root)
    try:
        with zipfile.ZipFile(source) as archive:
            members = _members(archive, limits or Limits())
            runs = _by_run(archive, members)
            _nothing_overwritten(root, list(runs))
            with run_folders.place_to_import(root) as place:
                _has_room(place, members)
                for name, files in runs.items():
                    _unpack(archive, files, place / name)
                    _must_be_a_run(place / name, name)
                    # Who brings a run in wants to see it.
                    notes.change(place / name, archived=False)
                _appear(place, root, list(runs))
    except _NO_ZIP as error:
        raise MeasureError(
            f"This is no zip file of runs, or it is damaged ({error}). Export the runs once more."
        ) from error
    except OSError as error:
        raise MeasureError(
            f"The runs could not be imported into {root} ({error}); nothing was added. Make room "
            "there, or make it writable."
        ) from error
    return list(runs)


def parts_of(name: str) -> tuple[str, ...]:
    """The path of a member of a zip, part by part.

    Raises:
        MeasureError: it is absolute, leads out of its folder, or could mean another path on
            another system.
    """
    parts = tuple(name.rstrip("/").split("/"))
    strange = (
        "\\" in name
        or _CONTROL.search(name)
        or PurePosixPath(name).is_absolute()
        or re.match(r"[A-Za-z]:", name)
        or any(part in ("", ".", "..") or len(part.encode()) > 255 for part in parts)
    )
    if strange:
        raise MeasureError(
            f"The zip holds a file called {ascii(name)[:200]}, which would not lie in the run's "
            "folder. Nothing was imported: this zip was not made by an export."
        )
    return parts


def _files(folder: Path) -> list[Path]:
    """The regular files of a run; no link, nothing hidden or half written."""
    found = []
    for place, inner, files in os.walk(folder):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        paths = (Path(place, name) for name in sorted(files) if not name.startswith("."))
        found += [path for path in paths if stat.S_ISREG(path.lstat().st_mode)]
    return found


def _to_file(folders: Sequence[Path], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        try:
            _write(folders, file)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def _write(folders: Sequence[Path], target: BinaryIO) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        for folder in folders:
            for file in _files(folder):
                name = f"{folder.name}/{file.relative_to(folder).as_posix()}"
                info = zipfile.ZipInfo.from_file(file, name, strict_timestamps=False)
                stored = file.suffix in _STORED
                info.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
                with (
                    file.open("rb") as taken,
                    archive.open(info, "w", force_zip64=info.file_size > 1 << 30) as given,
                ):
                    shutil.copyfileobj(taken, given, _PIECE_BYTES)


def _members(archive: zipfile.ZipFile, limits: Limits) -> list[_Member]:
    """The files in the zip, each of which may be unpacked."""
    infos = archive.infolist()
    if len(infos) > limits.members:
        raise MeasureError(
            f"The zip holds {len(infos):,} files, and at most {limits.members:,} are imported."
        )
    total = sum(info.file_size for info in infos)
    if total > limits.size_bytes:
        raise MeasureError(
            f"The zip would unpack to {total / 1e9:,.1f} GB, and at most "
            f"{limits.size_bytes / 1e9:,.1f} GB are imported."
        )
    found = []
    for info in infos:
        parts = parts_of(info.filename)
        _must_be_a_file(info)
        if not info.is_dir() and not any(part in _NOT_OURS for part in parts):
            found.append(_Member(info, parts))
    _each_a_path_of_its_own([member.parts for member in found])
    return found


def _must_be_a_file(info: zipfile.ZipInfo) -> None:
    kind = stat.S_IFMT(info.external_attr >> 16)
    wanted = stat.S_IFDIR if info.is_dir() else stat.S_IFREG
    if kind not in (0, wanted):
        raise MeasureError(
            f"{ascii(info.filename)[:200]} in the zip is a link or a device and no file. Nothing "
            "was imported: this zip was not made by an export."
        )
    if info.flag_bits & 0x1 or info.compress_type not in _KNOWN:
        raise MeasureError(
            "The zip is encrypted, or compressed in a way that an export never uses. Make one "
            "without a password, by the usual method (deflate)."
        )


def _each_a_path_of_its_own(paths: Sequence[tuple[str, ...]]) -> None:
    known = set(paths)
    doubled = len(known) < len(paths)
    if doubled or any(path[:i] in known for path in paths for i in range(1, len(path))):
        raise MeasureError("The zip holds two files of one name. Export the runs once more.")


def _by_run(archive: zipfile.ZipFile, members: Sequence[_Member]) -> dict[str, list[_Member]]:
    """The files by run: each top folder is one, or the whole zip is the files of one run."""
    if any(member.parts == (MANIFEST,) for member in members):
        runs = {_name_in_manifest(archive): list(members)}
    else:
        runs = {}
        for member in members:
            runs.setdefault(member.parts[0], []).append(
                _Member(member.info, member.parts[1:] or member.parts)
            )
    for name, files in runs.items():
        if not run_folders.is_name(name) or not any(one.parts == (MANIFEST,) for one in files):
            raise MeasureError(
                f"{ascii(name)[:200]} in the zip is no run: it has no {MANIFEST}, or a name that "
                "no run can have. A zip of runs has a folder for each."
            )
    if not runs:
        raise MeasureError("There is no run in the zip.")
    return runs


def _name_in_manifest(archive: zipfile.ZipFile) -> str:
    """What the run is called whose files are the whole zip."""
    with archive.open(MANIFEST) as file:
        try:
            manifest = json.loads(file.read(_LONGEST_MANIFEST))
        except (ValueError, RecursionError):
            manifest = None
    return str(manifest.get("run_id")) if isinstance(manifest, dict) else ""


def _nothing_overwritten(root: Path, names: Sequence[str]) -> None:
    there = [name for name in names if os.path.lexists(root / name)]
    if there:
        raise RunExistsError(
            f"{', '.join(there)} is in {root} already, and an import overwrites nothing. Delete or "
            "rename what is there first; nothing was imported."
        )


def _has_room(place: Path, members: Sequence[_Member]) -> None:
    needed = sum(member.info.file_size for member in members)
    free = shutil.disk_usage(place).free
    if needed > free:
        raise MeasureError(
            f"The runs take {needed / 1e9:,.1f} GB, and {place.parent} has {free / 1e9:,.1f} GB "
            "left. Make room; nothing was imported."
        )


def _unpack(archive: zipfile.ZipFile, files: Sequence[_Member], folder: Path) -> None:
    for member in files:
        target = folder.joinpath(*member.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member.info) as taken, target.open("xb") as given:
            # Never more comes out than the size the zip states, which the limits were held against.
            shutil.copyfileobj(taken, given, _PIECE_BYTES)


def _must_be_a_run(folder: Path, name: str) -> None:
    try:
        open_run(folder)
        notes.read(folder)
        server_metrics.read(folder)
    except MeasureError as error:
        said = str(error).replace(str(folder), name)
        raise MeasureError(f"{name} in the zip cannot be read as a run: {said}") from error


def _appear(place: Path, root: Path, names: Sequence[str]) -> None:
    """The runs in their place by one rename each; if one cannot go there, none does."""
    gone: list[str] = []
    try:
        for name in names:
            _nothing_overwritten(root, [name])
            (place / name).rename(root / name)
            gone.append(name)
    except (OSError, RunExistsError):
        for name in gone:
            (root / name).rename(place / name)
        raise
