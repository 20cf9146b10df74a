"""NVIDIA's aiperf: workers that load and processors that count, each a process of its own."""

import json
from pathlib import Path

from benchmarks.contract import Figures, Job, Tool
from servers.contract import Environment


def argv(job: Job) -> tuple[str, ...]:
    """The command line at default settings."""
    return (
        *(str(job.script("aiperf")), "profile", "--model", job.model, "--url", job.url),
        *("--endpoint-type", "chat", "--streaming", "--tokenizer", str(job.tokenizer)),
        *("--isl", str(job.prompt_tokens), "--osl", str(job.output_tokens)),
        *("--concurrency", str(job.streams), "--request-count", str(job.requests)),
        *("--artifact-dir", str(job.folder)),
    )


def best_argv(job: Job) -> tuple[str, ...]:
    """Warmed up, more than the one worker it takes for two cores, nothing collected unasked."""
    return (
        *argv(job),
        *("--workers-max", "2", "--record-processors", "1", "--use-server-token-count"),
        *("--export-level", "summary", "--no-gpu-telemetry", "--no-server-metrics"),
        *("--warmup-request-count", str(job.streams)),
    )


def read(folder: Path) -> Figures:
    """What it reports. Its inter-chunk latency is the gaps between chunks, pooled."""
    result = json.loads((folder / "profile_export_aiperf.json").read_text())
    ttft, gap = result["time_to_first_token"], result["inter_chunk_latency"]
    return Figures(
        requests=int(ttft["count"]),
        ttft_p50_s=ttft["p50"] * 1e-3,
        ttft_p99_s=ttft["p99"] * 1e-3,
        gap_p50_s=gap["p50"] * 1e-3,
        gap_p99_s=gap["p99"] * 1e-3,
    )


# Not HF_HUB_OFFLINE: with it, aiperf 0.13 takes the folder of a tokenizer for an id of the hub.
_ENVIRONMENT = Environment(name="bench-aiperf", folder=Path(__file__).parent)
TOOLS = (
    Tool(
        name="aiperf",
        setting="default",
        title="aiperf",
        argv=argv,
        read=read,
        gap="chunk gap",
        quantile="linear",
        environment=_ENVIRONMENT,
    ),
    Tool(
        name="aiperf",
        setting="best",
        title="aiperf",
        argv=best_argv,
        read=read,
        gap="chunk gap",
        quantile="linear",
        warmed=True,
        environment=_ENVIRONMENT,
        note="warmed up, 2 workers, the server's token counts, no telemetry, summary only",
    ),
)
