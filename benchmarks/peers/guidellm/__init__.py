"""guidellm: up to ten worker processes whatever the machine, each with its own event loop."""

import json
from pathlib import Path

from benchmarks.contract import Figures, Job, Tool
from servers.contract import Environment


def argv(job: Job) -> tuple[str, ...]:
    """The command line; what differs between the variants is in the environment variables."""
    data = f"prompt_tokens={job.prompt_tokens},output_tokens={job.output_tokens}"
    return (
        *(str(job.script("guidellm")), "run"),
        *("--backend", f"kind=openai_http,target={job.url},model={job.model}"),
        *("--profile", f"kind=concurrent,streams={job.streams}"),
        *("--constraint", f"kind=max_requests,count={job.requests}"),
        *("--tokenizer", f"kind=huggingface_auto,model={job.tokenizer}"),
        *("--data", f"kind=synthetic_text,{data}"),
        *("--output", f"kind=json,path={job.folder / 'result.json'}", "--disable-console"),
    )


def read(folder: Path) -> Figures:
    """What it reports. Its ITL is one mean a request, counted once a token."""
    result = json.loads((folder / "result.json").read_text())
    metrics = result["benchmarks"][0]["metrics"]
    ttft = metrics["time_to_first_token_ms"]["successful"]
    itl = metrics["inter_token_latency_ms"]["successful"]
    return Figures(
        requests=int(ttft["count"]),
        ttft_p50_s=ttft["percentiles"]["p50"] * 1e-3,
        ttft_p99_s=ttft["percentiles"]["p99"] * 1e-3,
        gap_p50_s=itl["percentiles"]["p50"] * 1e-3,
        gap_p99_s=itl["percentiles"]["p99"] * 1e-3,
    )


_ENVIRONMENT = Environment(name="bench-guidellm", folder=Path(__file__).parent, torch="2.13.0")
_OFFLINE = {"HF_HUB_OFFLINE": "1"}
TOOLS = (
    Tool(
        name="guidellm",
        setting="default",
        title="guidellm",
        argv=argv,
        read=read,
        gap="ITL",
        quantile="inverted_cdf",
        environment=_ENVIRONMENT,
        env=_OFFLINE,
    ),
    Tool(
        name="guidellm",
        setting="best",
        title="guidellm",
        argv=argv,
        read=read,
        gap="ITL",
        quantile="inverted_cdf",
        environment=_ENVIRONMENT,
        env={**_OFFLINE, "GUIDELLM__MAX_WORKER_PROCESSES": "2"},
        note="as many worker processes as cores (2)",
    ),
)
