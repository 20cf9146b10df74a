"""What of this project is measured: the lab's scenario, and what it is to be compared with."""

import json
from pathlib import Path

from benchmarks.contract import Figures, Job, Tool
from measure.store import open_run
from servers.paths import ROOT

# Answers under way when the time is over are waited for, as the tools that count requests do.
_DRAIN_S = 30


def _locust(job: Job, file: Path) -> tuple[str, ...]:
    return (
        *(str(job.python), "-m", "locust", "-f", str(file), "--headless", "--only-summary"),
        *("-H", job.url, "-u", str(job.streams), "-r", str(job.streams)),
        *("-t", f"{job.seconds}s", "--stop-timeout", f"{_DRAIN_S}s"),
    )


def ours_argv(job: Job) -> tuple[str, ...]:
    """The chat scenario, as anybody would run it."""
    return (
        *_locust(job, ROOT / "loadtests" / "chat.py"),
        *("--model", job.model, "--run-dir", str(job.folder / "run")),
        *("--prompt-tokens", str(job.prompt_tokens), "--output-tokens", str(job.output_tokens)),
    )


def read_ours(folder: Path) -> Figures:
    """The run's own summary. Raises `ValueError` if its answers are too few for a p99."""
    summary = json.loads((folder / "run" / "summary.json").read_text())
    ttft, gap = summary["ttft_s"], summary["chunk_gap_s"]
    if ttft["p99"] is None:
        raise ValueError(f"{ttft['count']} answers carry no p99")
    return Figures(summary["requests"]["ok"], ttft["p50"], ttft["p99"], gap["p50"], gap["p99"])


def counted_by_ours(folder: Path) -> frozenset[str]:
    """The requests of the run's window: one sent just as it ended is in no figure."""
    run = open_run(folder / "run")
    ids = run.counted.column("request_id").to_pylist()
    return frozenset(f"{run.run_id}-{one}" for one in ids)


def naive_argv(job: Job) -> tuple[str, ...]:
    """Plain Locust by hand."""
    settings = {
        "NAIVE_RESULT": str(job.folder / "result.json"),
        "NAIVE_PROMPT_TOKENS": str(job.prompt_tokens),
        "NAIVE_OUTPUT_TOKENS": str(job.output_tokens),
    }
    words = [f"{name}={value}" for name, value in settings.items()]
    return ("env", *words, *_locust(job, ROOT / "benchmarks" / "naive_locust.py"))


def floor_argv(job: Job) -> tuple[str, ...]:
    """The bare socket loop."""
    return (
        *(str(job.python), str(ROOT / "benchmarks" / "floor.py"), job.url),
        *("--streams", str(job.streams), "--seconds", str(job.seconds)),
        *("--prompt-tokens", str(job.prompt_tokens), "--output-tokens", str(job.output_tokens)),
        *("--result", str(job.folder / "result.json")),
    )


def read_plain(folder: Path) -> Figures:
    """What `naive_locust.py` and `floor.py` write."""
    result = json.loads((folder / "result.json").read_text())
    return Figures(result["requests"], *result["ttft_s"], *result["gap_s"])


TOOLS = (
    Tool(
        name="ours",
        setting="default",
        title="**Serving Lab**, `loadtests/chat.py`",
        argv=ours_argv,
        read=read_ours,
        counted=counted_by_ours,
        gap="chunk gap",
        quantile="inverted_cdf",
    ),
    Tool(
        name="naive",
        setting="default",
        title="Locust `HttpUser` + `iter_lines`, by hand",
        argv=naive_argv,
        read=read_plain,
        gap="chunk gap",
        quantile="linear",
    ),
    Tool(
        name="floor",
        setting="default",
        title="a bare gevent socket loop (the floor)",
        argv=floor_argv,
        read=read_plain,
        gap="chunk gap",
        quantile="linear",
    ),
)
