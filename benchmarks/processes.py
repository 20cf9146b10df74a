"""Running a tool and counting the CPU of its whole tree, in the same way for all of them.

The kernel's own counts are read from /proc twice a second: user and system time of every living
process of the tree and of the children it has waited for. What a tool spends on loading itself and
on its reports is left out by asking only for the time in which answers were under way.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

_LOOK_S = 0.5
_TICK_S = 1.0 / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Ended:
    """How a tool's process ended (`None`: it was stopped after the time limit), and its CPU.

    `at_s` (seconds since 1970) and `cpu_s` are the samples: CPU time used by the tree until then.
    """

    exit_code: int | None
    at_s: Sequence[float]
    cpu_s: Sequence[float]

    def cpu_between_s(self, begin_s: float, end_s: float) -> float:
        """CPU seconds used between two moments, samples joined by straight lines."""
        at = np.interp([begin_s, end_s], self.at_s, self.cpu_s)
        return float(at[1] - at[0])


def run(
    argv: Sequence[str], env: Mapping[str, str], folder: Path, log: Path, limit_s: float
) -> Ended:
    """Run the command in `folder` until it ends; stop its tree after `limit_s` or Ctrl-C."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=env,
            start_new_session=True,
        )
    at_s: list[float] = []
    cpu_s: list[float] = []
    deadline_s = time.monotonic() + limit_s
    seen: set[int] = set()
    try:
        while process.poll() is None and time.monotonic() < deadline_s:
            seen |= _sample(process.pid, at_s, cpu_s)
            try:
                process.wait(_LOOK_S)
            except subprocess.TimeoutExpired:
                continue
        return Ended(process.poll(), at_s, cpu_s)
    finally:
        _stop(process, seen)


def _sample(root: int, at_s: list[float], cpu_s: list[float]) -> set[int]:
    """Add one sample of the tree's CPU; returns the processes found in it."""
    tree = _tree(root)
    total = sum(_cpu_s(pid) for pid in tree)
    at_s.append(time.time())
    # A process that ended has left its time to whoever waits for it, a moment later.
    cpu_s.append(max(total, cpu_s[-1] if cpu_s else 0.0))
    return tree


def _tree(root: int) -> set[int]:
    found, waiting = {root}, [root]
    while waiting:
        for children in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            try:
                new = {int(pid) for pid in children.read_text().split()} - found
            except OSError:
                continue
            found |= new
            waiting += new
    return found


def _cpu_s(pid: int) -> float:
    """User and system time, its own and of children it has waited for: proc(5), fields 14-17."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0.0
    return sum(int(ticks) for ticks in stat.rpartition(")")[2].split()[11:15]) * _TICK_S


def _stop(process: subprocess.Popen[bytes], seen: set[int]) -> None:
    """Kill what is left of the tree: its session, and children that made their own."""
    left = _tree(process.pid) if process.poll() is None else set()
    for pid in (seen | left) - {process.pid}:
        try:
            # A number may be in use again by somebody else: ours are of our session or its tree.
            if pid in left or os.getsid(pid) == process.pid:
                psutil.Process(pid).kill()
        except (OSError, psutil.Error):
            continue
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
