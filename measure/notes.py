"""What people keep about a run: tags, a note, whether it is archived. In a file of its own.

`notes.json` lies beside the manifest and is the only file of a run that changes after its end, so
no manifest and no record is touched when somebody writes down what they think of a run.
"""

import fcntl
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from measure.errors import DamagedRunError, MeasureError
from measure.files import read_json, write_json

FILE = "notes.json"
MOST_TAGS, LONGEST_TAG, LONGEST_NOTE = 20, 40, 10_000
# Controls, and the marks that turn the direction of what stands after them.
_UNSEEN = re.compile(r"[\x00-\x1f\x7f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


@dataclass(frozen=True)
class Notes:
    """`tags` are single words or phrases, each once; `note` may have several lines."""

    tags: tuple[str, ...] = ()
    note: str = ""
    archived: bool = False


def read(run_dir: Path) -> Notes:
    """What is kept about a run; nothing where nobody wrote anything.

    Raises:
        DamagedRunError: the file is there and is not what this module writes.
    """
    file = run_dir / FILE
    if not file.exists():
        return Notes()
    found = read_json(file)
    tags, note, archived = found.get("tags", []), found.get("note", ""), found.get("archived")
    if (
        not isinstance(tags, list)
        or not all(isinstance(tag, str) for tag in tags)
        or not isinstance(note, str)
        or archived not in (None, True, False)
    ):
        raise DamagedRunError(
            f"{file} does not hold the tags and the note of a run. Delete it, or restore it from a "
            "copy: nothing else of the run is in it."
        )
    return Notes(tuple(tags), note, bool(archived))


def tags_in(text: str) -> tuple[str, ...]:
    """Tags as people type them, with commas between: trimmed, on one line, each once."""
    return _each_once(_UNSEEN.sub(" ", part) for part in text.split(","))


def change(
    run_dir: Path,
    *,
    tags: Iterable[str] | None = None,
    add: Iterable[str] = (),
    note: str | None = None,
    archived: bool | None = None,
) -> Notes:
    """Change what is given and keep the rest; two who write at one time lose nothing.

    Args:
        run_dir: the run's folder.
        tags: all tags from now on.
        add: tags to have besides.
        note: the whole note from now on.
        archived: whether the run is out of the way.

    Raises:
        MeasureError: a tag or the note is too long, the run is gone, or its folder cannot be
            written. What was kept stays as it was.
    """
    with _alone(run_dir):
        old = read(run_dir)
        new = replace(
            old,
            tags=_each_once([*(old.tags if tags is None else tags), *add]),
            note=old.note if note is None else note.replace("\r\n", "\n").strip(),
            archived=old.archived if archived is None else archived,
        )
        _check(new)
        if new != old:
            _write(run_dir, new)
    return new


def _write(run_dir: Path, notes: Notes) -> None:
    content: dict[str, Any] = {
        "tags": list(notes.tags),
        "note": notes.note,
        "archived": notes.archived,
    }
    try:
        write_json(run_dir / FILE, content)
    except (OSError, UnicodeError) as error:
        raise MeasureError(
            f"What you wrote about {run_dir.name} could not be kept ({error}). Make room in "
            f"{run_dir}, or make it writable, and try again; what was there before still is."
        ) from error


@contextmanager
def _alone(run_dir: Path) -> Iterator[None]:
    """Hold the folder's lock, so that nobody else reads and writes in between."""
    try:
        folder = os.open(run_dir, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise MeasureError(
            f"There is no run {run_dir.name} in {run_dir.parent} any more ({error.strerror}). "
            "Somebody moved or deleted it; nothing was written."
        ) from error
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _each_once(tags: Iterable[str]) -> tuple[str, ...]:
    words = (" ".join(tag.split()) for tag in tags)
    return tuple(dict.fromkeys(word for word in words if word))


def _check(notes: Notes) -> None:
    long = [tag for tag in notes.tags if len(tag) > LONGEST_TAG]
    if long:
        raise MeasureError(
            f"The tag {long[0][:LONGEST_TAG]!r}… has {len(long[0]):,} characters, and a tag has at "
            f"most {LONGEST_TAG}. Put what is longer into the note."
        )
    if len(notes.tags) > MOST_TAGS:
        raise MeasureError(
            f"A run has at most {MOST_TAGS} tags, and these would be {len(notes.tags)}. Take some "
            "away."
        )
    if len(notes.note) > LONGEST_NOTE:
        raise MeasureError(
            f"The note has {len(notes.note):,} characters, and a note has at most "
            f"{LONGEST_NOTE:,}. Shorten it."
        )
