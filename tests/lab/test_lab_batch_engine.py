"""`lab batch` on the real vLLM (the tiny model): cut short by Ctrl-C, then done by a second call."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from dashboard.engine_side import engine_lines
from measure.store import Run, list_runs, open_run
from servers.vllm import ENGINE

pytestmark = pytest.mark.engine

COUNT = 24
TOKENS = 800


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("batch")
    entries = [
        {"messages": [{"role": "user", "content": f"Count to {number}"}]}
        if number % 2
        else {"prompt": f"The number {number} is"}
        for number in range(COUNT)
    ]
    lines = [json.dumps({**entry, "output_tokens": TOKENS}) for entry in entries]
    lines.append(json.dumps({"prompt": "word " * 3000}))
    (folder / "prompts.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def lab_batch(folder: Path, seqs: int) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "SERVING_LAB_HOME": str(folder / "home"),
        "SERVING_LAB_RUNS": str(folder / "runs"),
    }
    argv = [sys.executable, "-m", "lab", "batch", "vllm", str(folder / "prompts.jsonl")]
    argv += ["--model", "tiny", "--set", f"max_num_seqs={seqs}", "--set", "kv_cache_gib=0.25"]
    return subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


def answers(folder: Path) -> list[dict]:
    path = folder / "prompts.answers.jsonl"
    whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
    return [json.loads(line) for line in whole.splitlines()]


def ours(folder: Path) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            if str(folder) in process.environ().get("SERVING_LAB_INSTANCE", ""):
                found.append(process.name())
        except psutil.Error:
            continue
    return found


def runs(folder: Path) -> list[Run]:
    """Oldest first."""
    return [open_run(one.path) for one in reversed(list_runs(folder / "runs"))]


@pytest.fixture(scope="module")
def cut(folder: Path) -> tuple[int, str, list[dict]]:
    """The first call, interrupted after some answers: its exit code, words, and what it kept."""
    process = lab_batch(folder, seqs=2)
    while len(answers(folder)) < 4 and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=200)
    return process.returncode, said, answers(folder)


def test_ctrl_c_keeps_the_finished_answers_as_a_run_and_leaves_nothing(folder, cut):
    code, said, kept = cut
    assert code == 130, said
    assert "interrupted" in said
    assert 4 <= len(kept) < COUNT
    assert {one["output_tokens"] for one in kept} == {TOKENS}
    (run,) = runs(folder)
    assert run.finished
    assert run.summary["requests"]["ok"] == len(kept)
    assert ours(folder) == []


def test_a_second_call_answers_the_others_and_only_those(folder, cut):
    _, _, kept = cut
    process = lab_batch(folder, seqs=16)
    said, _ = process.communicate(timeout=300)
    # The one prompt that is too long has no answer, and says why.
    assert process.returncode == 1, said
    assert f"line {COUNT + 1}: the prompt is 3001 tokens" in said
    assert sorted(one["line"] for one in answers(folder)) == list(range(1, COUNT + 1))
    run = runs(folder)[-1]
    assert run.summary["requests"]["ok"] == COUNT - len(kept)
    assert run.summary["requests"]["failed"] == 1
    assert run.summary["client"]["verdict"] == "valid"
    assert ours(folder) == []


def test_times_are_the_engines_and_its_histograms_come_along(folder, cut):
    run = runs(folder)[-1]
    kept = {f"line-{one['line']}": one["engine"] for one in answers(folder)}
    for record in run.records.filter(run.records["output_tokens"].is_valid()).to_pylist():
        parts = kept[record["request_id"]]
        assert sum(parts.values()) == pytest.approx(record["done_s"] - record["sent_s"], abs=1e-5)
    assert run.summary["ttft_s"]["count"] == 0
    lines = engine_lines(run.server_metrics, ENGINE.metrics, run.window, run.summary)
    assert {"TTFT", "ITL", "Queue time"} <= {line.title for line in lines}
