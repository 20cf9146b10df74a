"""The command lines of the tools, and what is read from the files they write."""

import json
from dataclasses import astuple
from pathlib import Path

import pytest

from benchmarks import own
from benchmarks.__main__ import TOOLS
from benchmarks.contract import Figures, Job
from benchmarks.peers import aiperf, genai_bench, guidellm, vllm

SHOWN = Figures(320, ttft_p50_s=0.3, ttft_p99_s=1.4, gap_p50_s=0.02, gap_p99_s=0.03)


def job(folder: Path) -> Job:
    return Job(
        python=Path("/env/bin/python"),
        url="http://127.0.0.1:8009",
        model="reference",
        tokenizer=Path("/models/tiny"),
        streams=64,
        requests=320,
        seconds=12,
        prompt_tokens=32,
        output_tokens=100,
        folder=folder,
    )


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.key)
def test_a_command_line_says_where_how_many_and_where_to_write(tool, tmp_path):
    line = " ".join(tool.argv(job(tmp_path)))
    assert "http://127.0.0.1:8009" in line
    assert " 64" in line or "=64" in line
    assert str(tmp_path) in line
    assert tool.argv(job(tmp_path))[0].startswith(("/env/bin/", "env"))


def test_every_tool_has_a_key_of_its_own():
    assert len({tool.key for tool in TOOLS}) == len(TOOLS)


@pytest.mark.parametrize("tool", [t for t in TOOLS if t.environment], ids=lambda tool: tool.key)
def test_an_environment_is_pinned_and_hashed(tool):
    text = (tool.environment.folder / "requirements.txt").read_text()
    pins = [line for line in text.splitlines() if "==" in line and line[0].isalnum()]
    assert pins
    assert text.count("--hash=sha256:") >= len(pins)
    assert "://" not in text


def wrote(path: Path, document: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def test_vllm_reports_milliseconds(tmp_path):
    wrote(
        tmp_path / "result.json",
        {
            "completed": 320,
            "p50_ttft_ms": 300.0,
            "p99_ttft_ms": 1400.0,
            "p50_itl_ms": 20.0,
            "p99_itl_ms": 30.0,
        },
    )
    assert astuple(vllm.read(tmp_path)) == pytest.approx(astuple(SHOWN))


def test_aiperf_reports_gaps_as_inter_chunk_latency(tmp_path):
    wrote(
        tmp_path / "profile_export_aiperf.json",
        {
            "time_to_first_token": {"unit": "ms", "p50": 300.0, "p99": 1400.0, "count": 320},
            "inter_chunk_latency": {"unit": "ms", "p50": 20.0, "p99": 30.0, "count": 31680},
        },
    )
    assert astuple(aiperf.read(tmp_path)) == pytest.approx(astuple(SHOWN))


def test_guidellm_keeps_successful_requests_apart(tmp_path):
    def shown(p50: float, p99: float, count: int) -> dict:
        good = {"count": count, "percentiles": {"p50": p50, "p99": p99}}
        return {"successful": good, "errored": {"count": 0, "percentiles": None}}

    metrics = {
        "time_to_first_token_ms": shown(300.0, 1400.0, 320),
        "inter_token_latency_ms": shown(20.0, 30.0, 31680),
    }
    wrote(tmp_path / "result.json", {"benchmarks": [{"metrics": metrics}]})
    assert astuple(guidellm.read(tmp_path)) == pytest.approx(astuple(SHOWN))


def test_genai_bench_reports_seconds(tmp_path):
    stats = {"ttft": {"p50": 0.3, "p99": 1.4}, "tpot": {"p50": 0.02, "p99": 0.03}}
    wrote(
        tmp_path / "experiment" / "D32_100_text-to-text_num_concurrency_64_time_15s.json",
        {"aggregated_metrics": {"num_completed_requests": 320, "stats": stats}},
    )
    assert astuple(genai_bench.read(tmp_path)) == pytest.approx(astuple(SHOWN))


def test_a_tool_that_wrote_nothing_is_told_from_one_that_did(tmp_path):
    for tool in TOOLS:
        with pytest.raises((OSError, ValueError)):
            tool.read(tmp_path)


def test_the_floor_and_the_naive_user_write_alike(tmp_path):
    wrote(
        tmp_path / "result.json",
        {"requests": 320, "ttft_s": [0.3, 1.4], "gap_s": [0.02, 0.03]},
    )
    assert own.read_plain(tmp_path) == SHOWN
