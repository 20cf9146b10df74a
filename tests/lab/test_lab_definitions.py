"""`lab compare --definitions`, on a run written by the run store itself."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from measure.manifest import new_manifest
from measure.records import Record, TokenSource
from measure.store import RunWriter
from measure.verdict import ClientStats

LOAD = {
    "scenario": "completion", "protocol": "openai-completions", "host": "http://127.0.0.1:1",
    "arrival": {"kind": "closed", "users": 1},
}  # fmt: skip


def compare(runs: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "SERVING_LAB_RUNS": str(runs), "SERVING_LAB_HOME": str(runs / ".home")}
    return subprocess.run(
        [sys.executable, "-m", "lab", "compare", *argv],
        capture_output=True, text=True, env=env, timeout=120,
    )  # fmt: skip


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    writer = RunWriter.create(
        tmp_path / "one", new_manifest(run_id="one", epoch_s=1.7e9, load=LOAD)
    )
    for number in range(40):
        sent = float(number)
        # Eight tokens, the first four in the first chunk; the stream ends 100 ms after the last.
        chunk_s = [sent + 0.2, sent + 0.4]
        writer.append(
            Record(
                request_id=f"0-{number}", worker=0, scheduled_s=sent, sent_s=sent,
                first_content_s=chunk_s[0], last_content_s=chunk_s[1], done_s=chunk_s[1] + 0.1,
                output_tokens=8, first_chunk_tokens=4, token_source=TokenSource.USAGE,
                chunk_s=chunk_s, chunks=2,
            )
        )  # fmt: skip
    writer.close(ClientStats(cpu_s=0.1, wall_s=40.0, max_in_flight=1))
    return tmp_path


def test_one_run_is_read_by_every_tools_definitions_with_the_reasons(runs: Path):
    done = compare(runs, "--definitions", "one")
    assert done.returncode == 0, done.stderr
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    # Ours and the four tools in their order: 200 ms over 4 tokens, a chunk gap, 200 ms over 7.
    assert "ITL mean 50 ms 200 ms 28.6 ms 28.6 ms –" in lines
    assert "E2E mean 400 ms same 500 ms same 500 ms" in lines
    assert "guidellm (TPOT): (last content − sent) / tokens" in done.stdout
    assert "interpolated" in done.stdout and "always 0" in done.stdout


def test_without_the_option_one_run_is_no_comparison(runs: Path):
    done = compare(runs, "one")
    assert done.returncode == 1 and "--definitions takes one" in done.stderr
