"""Execute notebooks and renew their reading copies, which git tracks; --to FOLDER only runs."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from notebooks import execution, reading_copy
from notebooks.errors import NotebookError
from servers.paths import ROOT

SOURCES = ROOT / "notebooks"
EXECUTED = SOURCES / "executed"


def sources(names: Sequence[str] = (), folder: Path = SOURCES) -> list[Path]:
    """The notebook sources of those names (a beginning such as `00` is enough); all if none.

    Raises:
        NotebookError: a name fits none of them, or several.
    """
    known = sorted(folder.glob("[0-9][0-9]_*.py"))
    if not names:
        return known
    chosen = []
    for name in names:
        stem = Path(name).name.removesuffix(".py")
        hits = [path for path in known if path.stem == stem] or [
            path for path in known if path.stem.startswith(stem)
        ]
        if len(hits) != 1:
            there = ", ".join(path.stem for path in known) or "none"
            why = "fits several notebooks" if hits else "is no notebook"
            raise NotebookError(f"'{name}' {why}. The notebooks are: {there}.")
        chosen.extend(hits)
    return chosen


def make_copy(source: Path, target_folder: Path, limit_s: float) -> Path:
    """Execute one source and write its reading copy; the old copy stays if it fails."""

    def show(number: int, of: int, first_line: str) -> None:
        print(f"  {number:>2}/{of}  {first_line[:80]}", flush=True)

    print(source.stem, flush=True)
    notebook = execution.execute(source, limit_s=limit_s, on_cell=show)
    stamp = reading_copy.stamp_of(notebook)
    copy = reading_copy.reading_copy(
        notebook, source.name, stamp, reading_copy.this_machines_paths()
    )
    target = target_folder / f"{source.stem}.ipynb"
    reading_copy.write(copy, target)
    print(f"  done in {stamp.took_s:.0f} s: {target.name}", flush=True)
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute what was asked for, in order; 1 if a notebook fails, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m notebooks.runner", description=__doc__)
    parser.add_argument("name", nargs="*", help="a notebook, such as 00 or 00_first_run")
    parser.add_argument(
        "--limit", type=float, default=execution.LIMIT_S, metavar="S",
        help="seconds after which a notebook is stopped (default %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--to", type=Path, default=EXECUTED, metavar="FOLDER",
        help="where the copies go; left out, over the reading copies in notebooks/executed",
    )  # fmt: skip
    asked = parser.parse_args(arguments)
    try:
        for source in sources(asked.name):
            make_copy(source, asked.to, asked.limit)
    except NotebookError as problem:
        print(f"error: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted: the kernel and what it started are stopped", file=sys.stderr)
        return 130
    return 0


def _terminated(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    # A closed terminal or SIGTERM ends it as Ctrl-C does.
    signal.signal(signal.SIGTERM, _terminated)
    signal.signal(signal.SIGHUP, _terminated)
    sys.exit(main())
