"""The stand-in for NVIDIA's NVML library: compiled with the machine's own C compiler.

The real `nvidia-ml-py` loads it in place of the driver's, in processes whose `LD_LIBRARY_PATH` has it.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("stub_nvml.c")
GIB = 2**30


@dataclass(frozen=True)
class Card:
    """One GPU of the stand-in; -1 is a value that it does not support."""

    total: int = 80 * GIB
    used: int = 30 * GIB
    free: int = 49 * GIB
    reserved: int = 1 * GIB
    util: int = 87
    memory_util: int = 40
    milliwatts: int = 312_500
    millijoules: int = 9_000_000_123
    celsius: int = 61
    sm_mhz: int = 1980
    memory_mhz: int = 2619
    xid: int = 0


class Nvml:
    """The stand-in's library in a folder, and what it tells."""

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("gcc") or shutil.which("cc")
        if compiler is None:
            pytest.skip("no C compiler here to build the stand-in for NVML with")
        self.folder = folder
        library = folder / "libnvidia-ml.so.1"
        subprocess.run([compiler, "-shared", "-fPIC", "-o", library, SOURCE], check=True)
        self._state = folder / "state"
        self.tell()

    def tell(self, *cards: Card, processes: tuple[tuple[int, int, int], ...] = ()) -> None:
        """These GPUs from now on, and processes on them: (GPU's number, pid, bytes)."""
        lines = [f"gpu {' '.join(map(str, vars(card).values()))}" for card in cards]
        lines += [f"process {gpu} {pid} {size}" for gpu, pid, size in processes]
        self._write("\n".join(lines) + "\n")

    def lose(self) -> None:
        """The driver answers nothing from now on."""
        self._write("lost\n")

    def environment(self) -> dict[str, str]:
        """Variables of a process that is to take the stand-in for the driver's library."""
        return {"LD_LIBRARY_PATH": str(self.folder), "STUB_NVML": str(self._state)}

    def _write(self, text: str) -> None:
        """Whole or not at all: the stand-in may read at any time."""
        whole = self._state.with_suffix(".new")
        whole.write_text(text)
        whole.replace(self._state)
