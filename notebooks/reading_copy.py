"""The reading copy of an executed notebook: stamped, and free of traces of one machine."""

import copy
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from measure.manifest import machine
from servers import catalog, paths

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_TEXTS = ("text/plain", "text/html", "text/markdown")
# Interactive things that GitHub cannot show, and that weigh more than all the rest.
_DROPPED = ("application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json")
_LANGUAGE = {"name": "python", "file_extension": ".py", "mimetype": "text/x-python"}
_KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


@dataclass(frozen=True)
class Stamp:
    """Where and with what a reading copy was made. `machine` is as in a run's manifest."""

    commit: str
    date: str
    machine: Mapping[str, Any]
    engines: Mapping[str, str]
    python: str
    took_s: float

    def words(self, source: str) -> str:
        """The stamp as the copy's first cell, in Markdown; `source` is the file's name."""
        gib = self.machine["memory_bytes"] / 2**30
        gpus = ", ".join(self.machine["gpus"]) or "no GPU"
        versions = [f"{_title(name)} {version}" for name, version in sorted(self.engines.items())]
        versions.append(f"Python {self.python}")
        return "\n".join(
            [
                f"> **Reading copy** of [`notebooks/{source}`](../{source}), made by "
                "`make notebooks`; change the source, never this file.",
                ">",
                f"> Commit `{self.commit}`, {self.date}, {self.took_s:.0f} s on "
                f"{self.machine['cores']} cores ({self.machine['cpu']}), {gib:.0f} GiB, {gpus}. "
                f"{', '.join(versions)}.",
            ]
        )


def stamp_of(notebook: NotebookNode) -> Stamp:
    """The stamp of a notebook that `notebooks.execution.execute` has just returned."""
    facts = notebook.metadata["serving_lab"]
    return Stamp(
        commit=_commit(),
        date=date.today().isoformat(),
        machine=machine(),
        engines=dict(facts["engines"]),
        python=".".join(map(str, sys.version_info[:3])),
        took_s=float(facts["took_s"]),
    )


def this_machines_paths() -> list[tuple[str, str]]:
    """(what to replace, by what): the paths of this checkout, home and temporary folder."""
    pairs = [
        (f"{paths.ROOT}/", ""),
        (str(paths.ROOT), "."),
        (str(paths.home()), ".lab"),
        (sys.prefix, ".venv"),
        (str(Path.home()), "~"),
        (tempfile.gettempdir(), "$TMPDIR"),
    ]
    return [(path, word) for path, word in pairs if len(path.strip("/")) > 1]


def reading_copy(
    notebook: NotebookNode, source: str, stamp: Stamp, replacements: Sequence[tuple[str, str]]
) -> NotebookNode:
    """The copy to commit: stamped, no widget state, no timing, no interactive figures, no paths."""
    made = copy.deepcopy(notebook)
    made.metadata = nbformat.from_dict(
        {
            "kernelspec": _KERNEL,
            "language_info": _LANGUAGE,
            "serving_lab": {
                "commit": stamp.commit,
                "date": stamp.date,
                "machine": dict(stamp.machine),
                "engines": dict(stamp.engines),
                "took_s": round(stamp.took_s, 1),
            },
        }
    )
    for cell in made.cells:
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs = [_normalised(output, replacements) for output in cell.outputs]
    first = nbformat.v4.new_markdown_cell(stamp.words(source), id="stamp")
    made.cells.insert(0, first)
    nbformat.validate(made)
    return made


def write(notebook: NotebookNode, path: Path) -> None:
    """Write the copy whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(nbformat.writes(notebook, version=4) + "\n", encoding="utf-8")
    temporary.replace(path)


def _normalised(output: NotebookNode, replacements: Sequence[tuple[str, str]]) -> NotebookNode:
    if output.output_type == "stream":
        output.text = without_paths(output.text, replacements)
    elif "data" in output:
        for kind in _DROPPED:
            output.data.pop(kind, None)
        for kind in _TEXTS:
            if kind in output.data:
                output.data[kind] = without_paths(output.data[kind], replacements)
    return output


def without_paths(text: str, replacements: Sequence[tuple[str, str]]) -> str:
    """The text without terminal colours and without the paths named."""
    text = _ANSI.sub("", text)
    for path, word in replacements:
        # Only as a whole path: `/root` is not a part of `/rootless`, nor of `x/root`.
        end = "" if path.endswith("/") else r"(?![\w-])"
        text = re.sub(rf"(?<![\w./-]){re.escape(path)}{end}", word.replace("\\", r"\\"), text)
    return text


def _title(engine: str) -> str:
    known = catalog.ENGINES.get(engine)
    return known.title if known else engine


def _commit() -> str:
    """The commit, with a word if tracked files (other than reading copies) differ from it."""
    try:
        commit = _git("rev-parse", "--short=10", "HEAD")
        changed = _git(
            "status", "--porcelain", "--untracked-files=no", "--", ".", ":!notebooks/executed"
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return f"{commit} with local changes" if changed else commit


def _git(*words: str) -> str:
    command = ["git", "-C", str(paths.ROOT), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.strip()
