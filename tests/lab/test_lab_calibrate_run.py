"""`lab calibrate` as it is typed: what it shows, keeps and leaves."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.load


def lab(home: Path, *argv: str) -> "subprocess.Popen[str]":
    env = {**os.environ, "SERVING_LAB_HOME": str(home), "SERVING_LAB_RUNS": str(home / "runs")}
    return subprocess.Popen(
        [sys.executable, "-m", "lab", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
    )


def loads_of(pid: int) -> list[psutil.Process]:
    children = psutil.Process(pid).children(recursive=True)
    return [one for one in children if "locust" in one.cmdline()]


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory) -> tuple[Path, str]:
    """A home that was calibrated in seconds, and what was said."""
    home = tmp_path_factory.mktemp("calibrated")
    process = lab(home, "calibrate", "--levels", "8,4", "--duration", "2s")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    return home, said


def test_calibrate_shows_every_level_and_keeps_what_it_found(calibrated):
    home, said = calibrated
    for words in ("4 streams", "8 streams", "TTFT p99", "chunk gap p99", "client ", "ceiling of"):
        assert words in said
    kept = json.loads((home / "calibration.json").read_text())
    assert [one["streams"] for one in kept["levels"]] == [4, 8]
    for one in kept["levels"]:
        assert one["unmatched"] == 0
        assert one["ttft_p50"]["true_s"] > 0.05
        assert one["tokens_per_s"] > 40
    assert set(kept["ceilings"]) == {"1"}


def test_nothing_runs_after_it_and_the_doctor_knows(calibrated):
    home, _ = calibrated
    assert "nothing runs" in lab(home, "ps").communicate(timeout=60)[0]
    assert "up to" in lab(home, "doctor").communicate(timeout=60)[0]


def test_a_quick_look_is_not_kept(tmp_path):
    process = lab(tmp_path, "calibrate", "--quick", "--levels", "4")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "TTFT p99" in said
    assert not (tmp_path / "calibration.json").exists()


def test_interrupted_it_leaves_no_server_and_the_calibration_as_it_was(tmp_path):
    (tmp_path / "calibration.json").write_text('{"as": "it was"}')
    process = lab(tmp_path, "calibrate", "--levels", "4", "--duration", "60s")
    deadline = time.monotonic() + 60
    while not (started := loads_of(process.pid)):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert not (tmp_path / "instances" / "calibration.json").exists()
    assert not [one for one in started if one.is_running()]
    assert (tmp_path / "calibration.json").read_text() == '{"as": "it was"}'
