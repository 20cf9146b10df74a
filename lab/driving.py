"""Locust as a subprocess: started, shown as it goes on, interrupted with us, never left behind."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from servers.paths import ROOT

PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def drive(
    argv: tuple[str, ...],
    log: Path,
    what: str,
    duration_s: float,
    console: Console,
    env: Mapping[str, str] | None = None,
) -> tuple[int, bool]:
    """Run Locust to its end, with a bar; `env` goes over the environment it inherits.

    Returns (exit code, whether Ctrl-C cut it short).
    """
    interrupted = False
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} s"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    if not console.is_terminal:
        console.print(what, markup=False)
    with log.open("wb") as out, bar:
        # A session of its own: Ctrl-C in the terminal reaches Locust once, through us.
        process = subprocess.Popen(
            argv,
            cwd=ROOT,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, **(env or {})},
            preexec_fn=_end_with_parent,
        )
        task = bar.add_task(what, total=duration_s)
        began = time.monotonic()
        try:
            while process.poll() is None:
                bar.update(task, completed=min(time.monotonic() - began, duration_s))
                time.sleep(0.2)
        except KeyboardInterrupt:
            interrupted = True
            bar.update(task, description="interrupted: keeping what has finished")
            process.send_signal(signal.SIGINT)
        finally:
            exit_code = _reap(process)
    return exit_code, interrupted


def _end_with_parent() -> None:
    """In Locust, before it starts: be interrupted when `lab` dies, even by `kill -9`."""
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGINT)


def _reap(process: "subprocess.Popen[bytes]") -> int:
    try:
        return process.wait(timeout=30.0)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()
