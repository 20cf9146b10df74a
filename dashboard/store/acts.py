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
from measure.notes import Notes

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


def describe(root: Path, name: str, tags: str, note: str, was: Notes) -> Outcome:
    """Tags (as typed, with commas) and note of one run, from now on.

    `was` is what the reader had before them: what somebody else wrote since then stays too.
    """
    return _each([name], t("Kept for {runs}."), lambda name: _join(root, name, tags, note, was))


def _join(root: Path, name: str, tags: str, note: str, was: Notes) -> None:
    folder, wanted = run_folders.find(root, name), notes.tags_in(tags)
    now, mine = notes.read(folder), note.replace("\r\n", "\n").strip()
    kept = [tag for tag in now.tags if tag in wanted or tag not in was.tags]
    added = [tag for tag in wanted if tag not in was.tags]
    if mine == was.note:
        mine = now.note
    elif now.note not in (was.note, mine):
        mine = f"{now.note}\n\n{mine}".strip()
    # Nobody else wrote: in the order in which the reader typed them.
    joined = wanted if now.tags == was.tags else [*kept, *added]
    notes.change(folder, tags=joined, note=mine)


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
