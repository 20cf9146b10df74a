import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
REFERENCE = ROOT / "tests" / "support" / "reference_server.py"


@dataclass
class ReferenceServer:
    url: str
    log: Path
    process: subprocess.Popen[str]

    def truth(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def start_reference(tmp_path: Path) -> Iterator[Callable[..., ReferenceServer]]:
    """Starts reference servers (tests/support) with the given flags; they end with the test."""
    with contextlib.ExitStack() as stack:

        def start(*flags: str) -> ReferenceServer:
            log = tmp_path / "truth.jsonl"
            process = subprocess.Popen(
                [sys.executable, str(REFERENCE), "--log", str(log), *flags],
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            port = int(process.stdout.readline())
            return ReferenceServer(f"http://127.0.0.1:{port}", log, process)

        yield start


@pytest.fixture
def reference(start_reference: Callable[..., ReferenceServer]) -> ReferenceServer:
    return start_reference()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives ports at which nobody listens."""

    def find() -> int:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return int(free.getsockname()[1])

    return find


@dataclass
class Locust:
    """A locust process. Nothing of this machine's lab is touched: it has a home of its own."""

    home: Path

    @contextlib.contextmanager
    def start(self, scenario: str, *flags: str) -> Iterator[subprocess.Popen[str]]:
        """The process while it runs; whatever the test thinks of it, it ends with the block."""
        command = [sys.executable, "-m", "locust", "-f", f"loadtests/{scenario}.py", "--headless"]
        with subprocess.Popen(
            [*command, "--only-summary", *flags],
            cwd=ROOT,
            env={**os.environ, "SERVING_LAB_HOME": str(self.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def run(self, scenario: str, *flags: str) -> subprocess.CompletedProcess[str]:
        with self.start(scenario, *flags) as process:
            out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def locust(tmp_path: Path) -> Locust:
    return Locust(tmp_path / "home")
