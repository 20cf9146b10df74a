"""What STYLE.md asks of a notebook and a machine can see: `problems(source text)`."""

import ast
import re
from collections.abc import Iterator, Sequence

import jupytext
from nbformat import NotebookNode

LINE, CELL, FUNCTION = 100, 15, 4
HEADINGS = ("Predict", "Run", "Look", "Explain", "Exercise", "Summary")
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
_HEADER = re.compile(r"\A# ---\n(?:#.*\n)*?#\s+format_name: percent\n(?:#.*\n)*?# ---\n")
_HEADING = re.compile(r"^## (\w+)", re.MULTILINE)


def problems(text: str) -> list[str]:
    """Every departure from the style, in words; empty if there is none.

    Args:
        text: a py:percent source.
    """
    notebook = jupytext.reads(text, fmt="py:percent")
    return [
        *_file(text),
        *_opening(notebook),
        *_headings(notebook),
        *_cells(notebook),
        *_exercise(notebook),
        *_ending(notebook),
    ]


def _file(text: str) -> Iterator[str]:
    if not _HEADER.match(text):
        yield "the source does not begin with the jupytext header of a py:percent notebook"
    if "raises-exception" in text:
        yield "the tag raises-exception lets a failing cell pass: remove it"
    for number, line in enumerate(text.splitlines(), start=1):
        if len(line) > LINE:
            yield f"line {number} is longer than {LINE} characters"


def _opening(notebook: NotebookNode) -> Iterator[str]:
    first = notebook.cells[0].source if notebook.cells else ""
    if not first.startswith("# "):
        yield "the first cell is no title (`# NN · Name`)"
    for word in ("**Goal:**", "**Minutes:**"):
        if word not in first:
            yield f"the first cell has no {word}"


def _headings(notebook: NotebookNode) -> Iterator[str]:
    prose = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    found = [word for word in _HEADING.findall(prose) if word in HEADINGS]
    missing = [word for word in HEADINGS if word not in found]
    if missing:
        yield f"there is no section {', '.join(missing)}"
    elif list(dict.fromkeys(found)) != list(HEADINGS):
        yield f"the sections do not come in the order {', '.join(HEADINGS)}"


def _cells(notebook: NotebookNode) -> Iterator[str]:
    for number, cell in enumerate(notebook.cells, start=1):
        where = f"cell {number}"
        if len(cell.source.splitlines()) > CELL:
            yield f"{where} has more than {CELL} lines"
        if cell.cell_type == "code":
            yield from _code(cell.source, where)


def _code(source: str, where: str) -> Iterator[str]:
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        yield f"{where} is not plain Python (line {error.lineno}): no magics, no shell escapes"
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield f"{where} defines the class {node.name}: helpers live in the rooms"
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION:
                yield f"{where} defines {node.name} in {lines} lines: helpers live in the rooms"
        if "locust" in _imported(node):
            yield f"{where} imports locust, which patches the whole kernel: run it as a subprocess"


def _imported(node: ast.AST) -> Sequence[str]:
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "").split(".")[0]]
    return []


def _exercise(notebook: NotebookNode) -> Iterator[str]:
    begun = False
    solutions = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            for heading in _HEADING.findall(cell.source):
                begun = heading == "Exercise"
            continue
        lines = cell.source.splitlines()
        if (BEGIN in lines) != (END in lines):
            yield f"a solution has {BEGIN} without {END}, or the reverse"
        elif BEGIN in lines and begun:
            solutions += 1
            if ".require()" not in "\n".join(lines[lines.index(END) :]):
                yield "the solution is not held against a check after its end (`.require()`)"
    if not solutions:
        yield f"the section Exercise has no {BEGIN} … {END}"


def _ending(notebook: NotebookNode) -> Iterator[str]:
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    if not code or code[-1].strip().splitlines()[-1] != "kit.down()":
        yield "the last code cell does not stop what the notebook started: it ends in `kit.down()`"
