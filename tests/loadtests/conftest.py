import contextlib
import json
import os
import signal
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


@dataclass
class Locust:
    """A locust process. Nothing of this machine's lab is touched: it has a home of its own."""

    home: Path

    def start(self, scenario: str, *flags: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "locust", "-f", f"loadtests/{scenario}.py", "--headless"]
        return subprocess.Popen(
            [*command, "--only-summary", *flags],
            cwd=ROOT,
            env={**os.environ, "SERVING_LAB_HOME": str(self.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, scenario: str, *flags: str) -> subprocess.CompletedProcess[str]:
        with self.start(scenario, *flags) as process:
            try:
                out, err = process.communicate(timeout=120)
            except BaseException:
                process.send_signal(signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def locust(tmp_path: Path) -> Locust:
    return Locust(tmp_path / "home")
