"""TGI beside vLLM: its frames as they stand on the wire, its knobs, what a limit does to a load."""

import math

import httpx
import pandas as pd

from dashboard import units
from dashboard.engine_side import mean_batches
from measure.records import Status
from measure.store import Run
from servers.catalog import ENGINES
from servers.contract import Engine
from servers.instances import Instance

PAIRS = (
    ("max_batch_size", "max_num_seqs", "requests in the batch"),
    ("max_batch_prefill_tokens", "max_num_batched_tokens", "tokens computed in one step"),
    ("max_batch_total_tokens", "kv_cache_gib", "room for keys and values"),
    ("max_total_tokens", "max_model_len", "longest prompt and answer"),
    ("max_input_tokens", None, "longest prompt"),
    ("max_concurrent_requests", None, "requests taken, waiting ones included"),
    ("waiting_served_ratio", None, "how many must wait to interrupt those that run"),
    ("max_waiting_tokens", None, "steps until they come in anyhow"),
    ("cuda_memory_fraction", "gpu_memory_utilization", "part of the GPU"),
    (None, "chunked_prefill", "long prompts in pieces"),
    (None, "prefix_caching", "known beginnings not computed again"),
    ("dtype", "dtype", "number format"),
)
"""TGI's knob, vLLM's for the same idea, and the idea; `None` where one has no such knob."""


def knobs_beside() -> pd.DataFrame:
    """What TGI's knobs are called in vLLM: names with their defaults, from both catalogues."""
    tgi, vllm = ENGINES["tgi"], ENGINES["vllm"]
    rows = [(idea, _named(tgi, one), _named(vllm, other)) for one, other, idea in PAIRS]
    return pd.DataFrame(rows, columns=["what it sets", "TGI", "vLLM"])


def _named(engine: Engine, name: str | None) -> str:
    if name is None:
        return "–"
    knob = engine.knob(name)
    assert knob is not None
    return name if knob.default is None else f"{name} = {knob.default}"


def wire(instance: Instance, prompt: str, tokens: int) -> list[str]:
    """The events of one streamed answer, as the bytes stand on the wire.

    Raises `httpx.HTTPError` if there is no answer.
    """
    body = {"inputs": prompt, "parameters": {"max_new_tokens": tokens, "details": True}}
    answer = httpx.post(f"{instance.base_url}/generate_stream", json=body, timeout=60.0)
    answer.raise_for_status()
    return [event for event in answer.text.split("\n\n") if event]


def mean_batch(run: Run) -> float:
    """Requests computed together in a step of the run, on average; NaN where unknown."""
    if run.server_metrics is None:
        return math.nan
    metrics = ENGINES[str(run.manifest["engine"]["name"])].metrics
    (found,) = mean_batches(run.server_metrics, metrics, run.window) or [("", math.nan)]
    return found[1]


def refused(run: Run) -> int:
    """Requests of the counted part of a run that the server was too busy for."""
    errors = run.counted["error"].to_pylist()
    return sum("overloaded" in (error or "") for error in errors)


def statuses(run: Run) -> set[int]:
    """The HTTP statuses of the requests that failed."""
    rows = zip(
        run.counted["status"].to_pylist(), run.counted["http_status"].to_pylist(), strict=True
    )
    return {http for status, http in rows if status != Status.OK and http is not None}


def table(runs: dict[str, Run]) -> pd.DataFrame:
    """What came of each load: answered, refused, TTFT, tokens a second and the mean batch."""
    rows = {}
    for name, run in runs.items():
        summary = run.summary
        rows[name] = {
            "answered": str(summary["requests"]["ok"]),
            "refused": str(refused(run)),
            "TTFT p50": units.show(summary["ttft_s"].get("p50"), "s"),
            "ITL p50": units.show(summary["itl_s"].get("p50"), "s"),
            "output": units.show(summary["output_tokens_per_s"], "tok/s"),
            "mean batch": units.figures_or_dash(mean_batch(run)),
        }
    return pd.DataFrame(rows).T
