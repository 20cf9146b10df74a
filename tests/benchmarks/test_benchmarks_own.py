"""Ours, plain Locust by hand and the floor, really run beside the reference server."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import own, processes, truth
from benchmarks.contract import Job
from servers.paths import ROOT


@pytest.fixture(scope="module")
def server_url():
    """A reference server in a hurry: a first token after 20 ms, then one every millisecond."""
    argv = [sys.executable, "-m", "servers.reference", "--port", "0"]
    argv += ["--ttft-ms", "20", "--ttft-tail", "0", "--gap-ms", "1"]
    process = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield "http://" + process.stdout.readline().removeprefix("serving on ").strip()
    process.kill()
    process.wait()


@pytest.mark.parametrize("tool", own.TOOLS, ids=lambda tool: tool.key)
def test_it_reports_the_answers_that_the_server_gave(tool, server_url, tmp_path):
    job = Job(
        python=Path(sys.executable),
        url=server_url,
        model="reference",
        tokenizer=Path("unused"),
        streams=16,
        requests=0,
        seconds=2,
        prompt_tokens=8,
        output_tokens=20,
        folder=tmp_path,
    )
    truth.reset(server_url)
    ended = processes.run(tool.argv(job), dict(os.environ), tmp_path, tmp_path / "log", 60)
    assert ended.exit_code == 0, (tmp_path / "log").read_text()
    counted = tool.counted(tmp_path) if tool.counted else None
    sent = truth.whole_answers(truth.fetch(server_url), 20, counted=counted)
    reported, true = tool.read(tmp_path), truth.figures(sent, tool.gap, tool.quantile)
    assert reported.requests == true.requests >= 16
    assert sent.chunks.tolist() == [20] * sent.count
    # Nothing can be read before it was sent; how much later it is read, is what the table says.
    assert reported.ttft_p50_s > true.ttft_p50_s - 1e-4
    assert truth.in_flight(sent)[0] == 16
    assert ended.cpu_between_s(sent.received_s.min(), sent.last_s.max()) > 0
