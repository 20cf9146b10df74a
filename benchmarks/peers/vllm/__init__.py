"""`vllm bench serve`, of the vLLM that the lab runs as an engine.

It has no settings for many connections: its pool is as large as its concurrency, and it is one
process with one event loop. What it has is a warm-up, which opens the connections beforehand.
"""

import json
from pathlib import Path

from benchmarks.contract import Figures, Job, Tool
from servers.vllm import ENGINE

MAIN = Path(__file__).parent / "inside" / "bench_serve.py"


def argv(job: Job) -> tuple[str, ...]:
    """The command line. The file stands in for `vllm bench serve`, which the CPU wheel breaks."""
    return (
        *(str(job.python), str(MAIN), "--backend", "openai", "--base-url", job.url),
        *("--endpoint", "/v1/completions", "--model", job.model),
        *("--tokenizer", str(job.tokenizer), "--dataset-name", "random"),
        *("--random-input-len", str(job.prompt_tokens)),
        *("--random-output-len", str(job.output_tokens)),
        *("--num-prompts", str(job.requests), "--max-concurrency", str(job.streams)),
        *("--percentile-metrics", "ttft,itl", "--metric-percentiles", "50,99"),
        *("--save-result", "--result-dir", str(job.folder), "--result-filename", "result.json"),
    )


def best_argv(job: Job) -> tuple[str, ...]:
    """With a warm-up of a request a stream, and no progress bar."""
    return (*argv(job), "--num-warmups", str(job.streams), "--disable-tqdm")


def read(folder: Path) -> Figures:
    """What it reports. Its ITL is the gaps between chunks, pooled."""
    result = json.loads((folder / "result.json").read_text())
    return Figures(
        requests=int(result["completed"]),
        ttft_p50_s=result["p50_ttft_ms"] * 1e-3,
        ttft_p99_s=result["p99_ttft_ms"] * 1e-3,
        gap_p50_s=result["p50_itl_ms"] * 1e-3,
        gap_p99_s=result["p99_itl_ms"] * 1e-3,
    )


_ENV = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
TOOLS = (
    Tool(
        name="vllm",
        setting="default",
        title="`vllm bench serve`",
        argv=argv,
        read=read,
        gap="chunk gap",
        quantile="linear",
        environment=ENGINE.environment,
        env=_ENV,
    ),
    Tool(
        name="vllm",
        setting="best",
        title="`vllm bench serve`",
        argv=best_argv,
        read=read,
        gap="chunk gap",
        quantile="linear",
        warmed=True,
        environment=ENGINE.environment,
        env=_ENV,
        note="warmed up",
    ),
)
