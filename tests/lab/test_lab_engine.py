"""The main job on real engines, and what is left of it when somebody pulls a plug."""

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import psutil
import pytest
from rich.console import Console

from lab import experiment, services
from lab.load import Load
from lab.tour import tour
from loadtests.asking import PromptFlags
from measure.store import open_run
from measure.warmup import Warmup
from servers import instances, supervisor

pytestmark = [pytest.mark.engine, pytest.mark.load]

COMPLETION = Load(
    scenario="completion",
    duration_s=10.0,
    warmup=Warmup("fixed", 2.0),
    users=4,
    prompts=PromptFlags(output_tokens="8"),
)
CLASSIFY = Load(scenario="classify", duration_s=6.0, warmup=Warmup("fixed", 1.0), users=8)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lab of its own, whose engines all tests here share; stopped whatever happens."""
    folder = tmp_path_factory.mktemp("lab")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(folder / "home"))
        patch.setenv("SERVING_LAB_RUNS", str(folder / "runs"))
        yield folder
        supervisor.down(say=lambda _: None)


@pytest.fixture(scope="module")
def told(home: Path) -> tuple[str, list]:
    """What `make lab` says, and its three runs."""
    out = io.StringIO()
    runs = tour(Console(file=out, width=160), COMPLETION, CLASSIFY)
    return out.getvalue(), runs


def pids() -> dict[str, int]:
    return {one.name: one.pid for one in instances.all_instances()}


def ours() -> list[psutil.Process]:
    """Living processes that carry the mark of this lab."""
    mark = str(Path(os.environ["SERVING_LAB_HOME"]).resolve())
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("SERVING_LAB_INSTANCE", "").startswith(mark):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_both_engines_answer_the_question_with_real_text(told: tuple[str, list]):
    said, _ = told
    assert "vLLM: The capital of France is Paris" in said
    assert "Triton Inference Server: The capital of France is Paris" in said


def test_the_runs_are_whole_and_carry_the_engines_own_series(told: tuple[str, list]):
    _, runs = told
    for run in runs:
        assert run.finished
        assert run.summary["requests"]["ok"] > 0
        assert run.summary["requests"]["failed"] == 0
        assert (run.path / "logs" / "engine.log").exists()
        assert (run.path / "logs" / "locust.log").exists()
        metrics = set(open_run(run.path).server_metrics["metric"].to_pylist())
        assert "up" in metrics
        assert "lab_instance_memory_bytes" in metrics
    assert [run.manifest["engine"]["name"] for run in runs] == ["vllm", "triton", "triton"]
    assert runs[0].manifest["engine"]["neighbours"] == ["triton"]


def test_every_streamed_answer_is_stamped_by_the_kernel_and_counted_by_the_server(
    told: tuple[str, list],
):
    _, runs = told
    for run in runs[:2]:
        assert set(run.records["clock"].to_pylist()) == {"kernel"}
        answered = run.counted.filter(run.counted["status"].to_numpy() == "ok")
        assert set(answered["token_source"].to_pylist()) == {"usage"}
        assert set(answered["output_tokens"].to_pylist()) == {8}


def test_conversations_with_shared_beginnings_hit_the_prefix_cache_and_lone_prompts_do_not(
    home: Path,
):
    """By the engine's own counters, over the load."""
    vllm = services.find("vllm")
    prompts = PromptFlags(prompt_tokens="24", output_tokens="8")
    shared = replace(prompts, shared_prefix_tokens="96", prefixes="2", turns="3")
    ratios = []
    for asked in (shared, prompts):
        instance = experiment.ensure_instance(vllm, lambda _: None)
        load = Load("chat", duration_s=6.0, warmup=Warmup("fixed", 1.0), users=2, prompts=asked)
        run = experiment.measured(vllm, instance, load, Console(file=io.StringIO()))
        series = open_run(run.path).server_metrics.to_pylist()
        hits, queries = (
            [row["value"] for row in series if row["metric"] == f"vllm:prefix_cache_{name}_total"]
            for name in ("hits", "queries")
        )
        ratios.append((hits[-1] - hits[0]) / (queries[-1] - queries[0]))
        rows = run.records.to_pylist()
        assert any(row["request_id"].endswith(".3") for row in rows) == (asked is shared)
    assert ratios[0] > 0.25
    # The chat template's own beginning may be one block.
    assert ratios[1] < 0.2


def test_the_comparison_shows_the_client_and_the_engines(told: tuple[str, list]):
    said, runs = told
    for words in ("TTFT p50", "engine.name", "Queue time p50", "engine · (b)"):
        assert words in said
    assert f"runs={runs[0].path.name},{runs[1].path.name}" in said


def test_the_dashboard_answers_at_the_address_that_was_printed(told: tuple[str, list]):
    said, _ = told
    address = next(
        w
        for w in said.split()
        if w.startswith("http")
        and "compare" not in w
        and said.split("Dashboard:")[1].split()[0] == w
    )
    assert httpx.get(address, timeout=10).status_code == 200


def test_a_second_tour_starts_no_second_server(told: tuple[str, list], home: Path):
    before = pids()
    tour(Console(file=io.StringIO(), width=160), COMPLETION, CLASSIFY)
    assert pids() == before


def test_ctrl_c_in_a_run_keeps_what_was_answered_and_leaves_no_load_behind(
    told: tuple[str, list], home: Path
):
    known = set((home / "runs").iterdir())
    command = [sys.executable, "-m", "lab", "run", "vllm", "--scenario", "completion"]
    process = subprocess.Popen([*command, "--users", "4", "--output-tokens", "8", "--duration", "5m", "--warmup", "0s"],
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        new = set((home / "runs").iterdir()) - known
        if new and any(shard.stat().st_size > 4096 for shard in next(iter(new)).glob("shards/*")):
            break
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    (folder,) = set((home / "runs").iterdir()) - known
    run = open_run(folder)
    assert run.finished
    assert run.summary["requests"]["ok"] > 0
    assert not any("locust" in " ".join(p.cmdline()) for p in psutil.Process().children(True))
    assert "Traceback" not in said


def test_down_leaves_no_process_and_no_shared_memory(told: tuple[str, list], home: Path):
    seen = {Path(file) for one in instances.all_instances() for file in one.shm}
    assert ours()
    done = subprocess.run([sys.executable, "-m", "lab", "down"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ours() == []
    assert [file for file in seen if file.exists()] == []
    assert instances.all_instances() == []
