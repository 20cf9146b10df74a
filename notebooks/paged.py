"""A paged KV cache: what a budget of memory holds, and what the engine did with it in a run."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pyarrow as pa
from prometheus_client.parser import text_string_to_metric_families

from dashboard import units
from dashboard.engine_side import mean_batches
from dashboard.figures import common
from dashboard.theme import lines_for_runs
from measure.server_series import Floats, counter_increase, series
from measure.store import Run
from servers.catalog import ENGINES
from servers.contract import Metric
from servers.instances import Instance

_HEIGHT = 360
_INFO = "vllm:cache_config_info"
_SAYS = re.compile(r"KV cache size: [\d,]+ tokens, Maximum concurrency for .*")


@dataclass(frozen=True)
class Cache:
    """A KV cache cut into blocks (pages) of `block_tokens` tokens each.

    `blocks` counts all of them. vLLM keeps one for itself, the *null block* that stands where a
    request has none (`null_block` of its `BlockPool`), so requests share one block fewer.
    """

    block_tokens: int
    blocks: int

    @property
    def usable(self) -> int:
        """The blocks that requests may have."""
        return self.blocks - 1

    @property
    def tokens(self) -> int:
        """The tokens it holds if every block that requests may have is full."""
        return self.block_tokens * self.usable

    def blocks_of(self, tokens: int) -> int:
        """The blocks that a request of so many tokens takes: its last one may be part empty."""
        return math.ceil(tokens / self.block_tokens)

    def requests_of(self, tokens: int) -> int:
        """How many requests of so many tokens it holds whole at once."""
        return self.usable // self.blocks_of(tokens)


def of_budget(budget_bytes: float, bytes_per_token: int, block_tokens: int) -> Cache:
    """The cache that so much memory makes: whole blocks only."""
    return Cache(block_tokens, int(budget_bytes // (bytes_per_token * block_tokens)))


def reported(instance: Instance) -> Cache:
    """The cache as the engine's own metrics describe it. Raises `LookupError` if they do not."""
    return cache_in(httpx.get(str(instance.metrics_url), timeout=10.0).text)


def cache_in(metrics_text: str) -> Cache:
    """The cache that a page of vLLM's metrics describes; `LookupError` if it describes none."""
    for family in text_string_to_metric_families(metrics_text):
        if family.name == _INFO:
            labels = family.samples[0].labels
            return Cache(int(labels["block_size"]), int(labels["num_gpu_blocks"]))
    raise LookupError(f"There is no {_INFO} on that page: it is not vLLM's.")


def said_at_start(instance: Instance) -> str:
    """The line of the engine's log in which it told its own arithmetic; empty if there is none."""
    found = _SAYS.findall(Path(instance.log).read_text(errors="replace"))
    return found[-1] if found else ""


@dataclass(frozen=True)
class Use:
    """What the engine did in the counted part of a run, by its own series; NaN where unknown.

    `kv_peak` and `hit_rate` are shares. `preemptions` counts requests thrown out of the cache and
    computed anew.
    """

    tokens_per_s: float
    tokens_a_step: float
    running: float
    waiting: float
    kv_peak: float
    preemptions: float
    hit_rate: float


def use(run: Run) -> Use:
    """Read a run of vLLM."""
    steps = dict(mean_batches(_table(run), _metrics(run), run.window))
    found = _gained(run, "prefix_cache_hits"), _gained(run, "prefix_cache_queries")
    return Use(
        tokens_per_s=float(run.summary["output_tokens_per_s"]),
        tokens_a_step=steps.get("Batch, all tokens a step", math.nan),
        running=_most(run, "running"),
        waiting=_most(run, "waiting"),
        kv_peak=_most(run, "kv_cache_usage"),
        preemptions=_gained(run, "preemptions"),
        hit_rate=found[0] / found[1] if found[1] else math.nan,
    )


def table(runs: Mapping[str, Run]) -> pd.DataFrame:
    """One row a run: its name, what came out, and what the cache went through."""
    rows = []
    for run in runs.values():
        found = use(run)
        rows.append(
            {
                "tokens a second": units.figures(found.tokens_per_s),
                "tokens a step": units.figures(found.tokens_a_step),
                "running at most": units.figures(found.running),
                "waiting at most": units.figures(found.waiting),
                "KV in use at most": units.show(found.kv_peak, "ratio"),
                "preemptions": units.figures(found.preemptions),
                "prefix hits": units.show(found.hit_rate, "ratio"),
                "TTFT p50": units.show(run.summary["ttft_s"]["p50"], "s"),
                "ITL p50": units.show(run.summary["itl_s"]["p50"], "s"),
            }
        )
    return pd.DataFrame(rows, index=list(runs))


def kv_over_time(runs: Mapping[str, Run]) -> go.Figure:
    """The share of the cache's blocks in use, second by second, one line a run."""
    lines = lines_for_runs(list(runs), dark=False)
    figure = go.Figure()
    for name, run in runs.items():
        times_s, values = _series(run, "kv_cache_usage")
        figure.add_scatter(
            x=times_s,
            y=values,
            name=name,
            mode="lines+markers",
            line={"color": lines[name].colour, "dash": lines[name].dash, "width": 2},
            hovertemplate="%{y:.0%} at %{x:.0f} s",
        )
    figure.update_layout(common(_HEIGHT))
    figure.update_xaxes(title="seconds from the start of the run", ticksuffix=" s")
    return figure.update_yaxes(title="KV blocks in use", tickformat=".0%", range=[0, 1.05])


def longest(run: Run) -> int:
    """Tokens of the longest request of a run, prompt and answer together."""
    prompt, answer = (
        np.asarray(run.records[name].drop_null().to_numpy())
        for name in ("prompt_tokens", "output_tokens")
    )
    return int(prompt.max() + answer.max()) if prompt.size and answer.size else 0


def _metrics(run: Run) -> tuple[Metric, ...]:
    return ENGINES[str(run.manifest["engine"]["name"])].metrics


def _metric(run: Run, concept: str) -> Metric:
    return next(one for one in _metrics(run) if one.concept == concept)


def _table(run: Run) -> pa.Table:
    found = run.server_metrics
    if found is None:
        raise LookupError(f"The run {run.run_id} has none of the engine's own numbers.")
    return found


def _gained(run: Run, concept: str) -> float:
    name, window = _metric(run, concept).name, run.window
    gain = counter_increase(_table(run), name, window.start_s, window.end_s)
    return math.nan if gain is None else gain


def _series(run: Run, concept: str) -> tuple[Floats, Floats]:
    found = series(_table(run), _metric(run, concept).name)
    return next(iter(found.values())) if found else (np.empty(0), np.empty(0))


def _most(run: Run, concept: str) -> float:
    times_s, values = _series(run, concept)
    within = values[run.window.holds(times_s)]
    return float(within.max()) if within.size else math.nan
