"""Execute one py:percent source in a kernel of this very Python, from first cell to last."""

import json
import os
import re
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jupytext
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from notebooks import leftovers, pictures
from notebooks.errors import NotebookError
from servers import instances

# A guard against a notebook that hangs, not the three minutes it should take: the first
# execution of a clean checkout also installs the engines.
LIMIT_S = 1500.0
_KERNEL = "serving-lab"
_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")

OnCell = Callable[[int, int, str], None]
"""Called before a code cell: its number from 1, how many there are, its first line."""


def read(path: Path) -> NotebookNode:
    """The source as a notebook without outputs; cells are named by their place, not at random."""
    if not path.is_file():
        raise NotebookError(f"There is no notebook source {path}.")
    notebook = jupytext.read(path, fmt="py:percent")
    for number, cell in enumerate(notebook.cells, start=1):
        cell["id"] = f"cell-{number:02d}"
    return notebook


def execute(
    path: Path, *, limit_s: float = LIMIT_S, on_cell: OnCell = lambda *_: None
) -> NotebookNode:
    """Execute the source at `path` in its own folder; returns it with outputs.

    `metadata["serving_lab"]` then holds `took_s` and `engines` (name: version, of those seen
    running). Whatever the notebook started is stopped however it ends, also by Ctrl-C.

    Raises:
        NotebookError: a cell raised, the limit passed, the kernel died, or the last cell left
            something running; its text names the notebook, the cell and the error.
    """
    notebook = read(path)
    token = uuid.uuid4().hex
    began = time.monotonic()
    seen: dict[str, str] = {}
    left: list[str] = []
    try:
        with _kernel(notebook, path, token) as client:
            _execute_cells(client, path.stem, began + limit_s, on_cell, seen)
            left = leftovers.engines(token)
    finally:
        leftovers.stop(token, say=lambda _: None)
    if left:
        raise NotebookError(
            f"{path.stem}: its last cell left {', '.join(left)} running (stopped now). The last "
            "cell must stop what the notebook started: `kit.down()`."
        )
    notebook.metadata["serving_lab"] = {"took_s": time.monotonic() - began, "engines": seen}
    return notebook


@contextmanager
def _kernel(notebook: NotebookNode, path: Path, token: str) -> Iterator[NotebookClient]:
    """A started kernel: this interpreter, whatever kernels and profiles the user has."""
    with tempfile.TemporaryDirectory(prefix="serving-lab-kernel-") as scratch:
        spec = Path(scratch) / "kernels" / _KERNEL
        spec.mkdir(parents=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        words = {"argv": argv, "display_name": "Python 3", "language": "python"}
        (spec / "kernel.json").write_text(json.dumps(words), encoding="utf-8")
        specs = KernelSpecManager(kernel_dirs=[str(spec.parent)], ensure_native_kernel=False)
        manager = AsyncKernelManager(
            kernel_name=_KERNEL,
            kernel_spec_manager=specs,
            # Sockets in our own folder: no TCP port that others on the machine could reach.
            transport="ipc",
            ip=str(Path(scratch) / "kernel"),
        )
        client = NotebookClient(
            notebook,
            km=manager,
            force_raise_errors=True,
            coalesce_streams=True,
            record_timing=False,
            shutdown_kernel="immediate",
            iopub_timeout=30,
        )
        env = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "IPYTHONDIR": str(Path(scratch) / "ipython"),
            pictures.STATIC: "1",
            leftovers.MARK: token,
        }
        with client.setup_kernel(cwd=str(path.parent), env=env, cleanup_kc=True):
            yield client


def _execute_cells(
    client: NotebookClient, name: str, deadline: float, on_cell: OnCell, seen: dict[str, str]
) -> None:
    cells = client.nb.cells
    of = sum(cell.cell_type == "code" for cell in cells)
    number = 0
    for index, cell in enumerate(cells):
        if cell.cell_type != "code":
            continue
        number += 1
        first_line = cell.source.strip().splitlines()[0] if cell.source.strip() else ""
        on_cell(number, of, first_line)
        client.timeout = max(1, int(deadline - time.monotonic()))
        where = f"{name}, code cell {number} of {of} (`{first_line}`)"
        try:
            client.execute_cell(cell, index)
        except CellExecutionError as error:
            raise NotebookError(f"{where}: {_reason(error)}") from error
        except CellTimeoutError as error:
            raise NotebookError(
                f"{where}: the notebook had not ended when its time was up. --limit gives it more."
            ) from error
        except DeadKernelError as error:
            raise NotebookError(
                f"{where}: the kernel died. Most often the machine is out of memory: `lab ps` and "
                "`free` show who holds it."
            ) from error
        seen |= _versions()


def _reason(error: CellExecutionError) -> str:
    """The error's name and text, and the line of the cell that raised it, without colours."""
    lines = _ANSI.sub("", error.traceback).splitlines()
    raised = next((line.strip() for line in lines if re.match(r"\s*-+>\s*\d+", line)), "")
    text = f"{error.ename}: {_ANSI.sub('', error.evalue)}"
    return f"{text}\n  {raised}" if raised else text


def _versions() -> dict[str, str]:
    """Engines that run now, with the versions they reported."""
    return {
        instance.engine: instance.version
        for instance in instances.all_instances()
        if instance.version and instances.leader_alive(instance)
    }
