"""What the Runs page does to runs, each act with a sentence about how it went."""

import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dashboard import text
from dashboard.words import t
from measure import carrying, notes, run_folders
from measure.errors import MeasureError

MOST_BY_BROWSER_BYTES = 200_000_000
"""What is handed to a browser is held in memory meanwhile; more is written to a file."""
EXPORTS = "exports"


@dataclass(frozen=True)
class Outcome:
    """How an act went, in Markdown: what was done, and each thing that could not be."""

    done: str = ""
    problems: tuple[str, ...] = ()


def archive(root: Path, names: Sequence[str], archived: bool) -> Outcome:
    """Put runs out of the list's way, or bring them back."""
    said = t("Archived: {runs}.") if archived else t("Back in the list: {runs}.")
    return _each(
        names, said, lambda name: notes.change(run_folders.find(root, name), archived=archived)
    )


def describe(root: Path, name: str, tags: str, note: str) -> Outcome:
    """Tags (as typed, with commas) and note of one run, from now on."""
    return _each(
        [name],
        t("Kept for {runs}."),
        lambda name: notes.change(
            run_folders.find(root, name), tags=notes.tags_in(tags), note=note
        ),
    )


def tag(root: Path, names: Sequence[str], tags: str) -> Outcome:
    """More tags for several runs; those that they have stay."""
    return _each(
        names,
        t("Tagged: {runs}."),
        lambda name: notes.change(run_folders.find(root, name), add=notes.tags_in(tags)),
    )


def delete(root: Path, names: Sequence[str]) -> Outcome:
    """Delete runs for good."""
    run_folders.sweep(root)
    return _each(names, t("Deleted: {runs}."), lambda name: run_folders.delete(root, name))


def bring_in(root: Path, source: BinaryIO) -> Outcome:
    """Import the runs of a zip."""
    try:
        names = carrying.import_runs(source, root)
    except MeasureError as error:
        return Outcome(problems=(text.markdown(error, 600),))
    return Outcome(t("Imported: {runs}.", runs=_listed(names)))


def export_bytes(root: Path, names: Sequence[str]) -> io.BytesIO:
    """The zip of these runs for a browser. Raises `MeasureError`."""
    target = io.BytesIO()
    carrying.export_runs(root, names, target)
    target.seek(0)
    return target


def export_file(root: Path, names: Sequence[str], file_name: str) -> Outcome:
    """The zip of these runs in a file of this machine, in a folder beside the runs."""
    target = root / EXPORTS / file_name
    try:
        carrying.export_runs(root, names, target)
    except MeasureError as error:
        return Outcome(problems=(text.markdown(error, 600),))
    return Outcome(t("Written: {file}.", file=text.markdown(target, 600)))


def file_name(names: Sequence[str]) -> str:
    """What an export of these runs is called."""
    first = text.plain(names[0])
    return f"{first}.zip" if len(names) == 1 else f"{first}-and-{len(names) - 1}-more.zip"


def total_bytes(root: Path, names: Iterable[str]) -> int:
    """What these runs take on disk; what is gone meanwhile takes nothing."""
    total = 0
    for name in names:
        try:
            total += carrying.size_bytes(root / name)
        except OSError:
            continue
    return total


def _each(names: Sequence[str], done: str, act: Callable[[str], object]) -> Outcome:
    """The act for one run after the other; that one fails keeps no other from it."""
    went, problems = [], []
    for name in names:
        try:
            act(name)
            went.append(name)
        except MeasureError as error:
            problems.append(text.markdown(error, 600))
    return Outcome(done.format(runs=_listed(went)) if went else "", tuple(problems))


def _listed(names: Sequence[str], most: int = 8) -> str:
    words = ", ".join(text.markdown(name, 120) for name in names[:most])
    more = len(names) - most
    return t("{runs} and {count} more", runs=words, count=more) if more > 0 else words
