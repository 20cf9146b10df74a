"""Asking a program of the machine, which may hang, crash or print anything."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

ANSWERS_WITHIN_S = 3.0


@dataclass(frozen=True)
class Said:
    """How a program ended (`None`: it did not, or could not start) and what it printed."""

    code: int | None
    out: str = ""
    err: str = ""

    @property
    def last_words(self) -> str:
        """The last line it printed, or how it ended."""
        lines = [line.strip() for line in f"{self.out}\n{self.err}".splitlines() if line.strip()]
        if self.code is None:
            return self.err or "no answer"
        return lines[-1][:200] if lines else f"it ended with code {self.code} and no word"


def ask(argv: Sequence[str], within_s: float = ANSWERS_WITHIN_S) -> Said | None:
    """What the program says; `None` if it is not on PATH. Never raises, never takes longer.

    Its output goes to files: a child that it leaves behind could keep a pipe open for good.
    """
    program = shutil.which(argv[0], path=os.environ.get("PATH", ""))
    if program is None:
        return None
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(
                [program, *argv[1:]],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                env={**os.environ, "LC_ALL": "C"},
            )
        except OSError as error:
            return Said(None, err=f"it cannot be run ({error.strerror})")
        try:
            process.wait(within_s)
        except subprocess.TimeoutExpired:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)  # One that the driver holds does not even die.
            return Said(None, err=f"no answer within {within_s:g} s")
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read(1_000_000).decode("utf-8", errors="replace"))
        return Said(process.returncode, *texts)
