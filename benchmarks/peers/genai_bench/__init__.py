"""genai-bench: built on Locust; its chunks are read by `requests`."""

import json
import math
from pathlib import Path

from benchmarks.contract import Figures, Job, Tool
from servers.contract import Environment


def argv(job: Job) -> tuple[str, ...]:
    """The command line at default settings. It ends a run in whole minutes at the soonest."""
    return (
        *(str(job.script("genai-bench")), "benchmark", "--api-backend", "openai"),
        *("--api-base", job.url, "--api-key", "none", "--task", "text-to-text"),
        *("--api-model-name", job.model, "--model", job.model),
        *("--model-tokenizer", str(job.tokenizer)),
        *("--num-concurrency", str(job.streams)),
        *("--traffic-scenario", f"D({job.prompt_tokens},{job.output_tokens})"),
        *("--max-requests-per-run", str(job.requests), "--max-time-per-run", "2"),
        *("--experiment-base-dir", str(job.folder), "--experiment-folder-name", "experiment"),
        *("--log-dir", str(job.folder)),
    )


def best_argv(job: Job) -> tuple[str, ...]:
    """With worker processes, users spawned over seconds, and a display that is drawn seldom."""
    return (
        *argv(job),
        *("--num-workers", "2", "--spawn-rate", str(math.ceil(job.streams / 4))),
        *("--metrics-refresh-interval", "5"),
    )


def read(folder: Path) -> Figures:
    """What it reports. It knows no gaps between chunks, only TPOT, one mean a request."""
    (path,) = (folder / "experiment").glob("*_num_concurrency_*.json")
    metrics = json.loads(path.read_text())["aggregated_metrics"]
    ttft, tpot = metrics["stats"]["ttft"], metrics["stats"]["tpot"]
    return Figures(
        requests=int(metrics["num_completed_requests"]),
        ttft_p50_s=ttft["p50"],
        ttft_p99_s=ttft["p99"],
        gap_p50_s=tpot["p50"],
        gap_p99_s=tpot["p99"],
    )


_ENVIRONMENT = Environment(name="bench-genai-bench", folder=Path(__file__).parent)
_OFFLINE = {"HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg"}
TOOLS = (
    Tool(
        name="genai-bench",
        setting="default",
        title="genai-bench",
        argv=argv,
        read=read,
        gap="TPOT",
        quantile="linear",
        environment=_ENVIRONMENT,
        env=_OFFLINE,
    ),
    Tool(
        name="genai-bench",
        setting="best",
        title="genai-bench",
        argv=best_argv,
        read=read,
        gap="TPOT",
        quantile="linear",
        environment=_ENVIRONMENT,
        env=_OFFLINE,
        note="2 workers, users spawned over 4 s, display every 5 s",
    ),
)
