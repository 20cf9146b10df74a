"""Arithmetic of GPU memory, and what instances hold now by the dashboard's own queries."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import plotly.graph_objects as go

from dashboard import prometheus, sources, theme, units
from dashboard.figures import common, ticks
from dashboard.memory import asking, observed, plan
from dashboard.memory.observed import Observed
from dashboard.prometheus import Failure
from dashboard.promql import Span
from measure.store import Run
from servers.catalog import ENGINES
from servers.instances import Instance
from servers.memory import GIB
from servers.models import facts

_HEIGHT = 330
_SEEN_WITHIN_S = 20.0
_SPAN_S = 60.0


@dataclass(frozen=True)
class Model:
    """What of a language model decides its memory. `number_bytes` is the size of one number."""

    name: str
    parameters: float
    kv_values_per_token: int
    number_bytes: int = 2

    @property
    def weight_bytes(self) -> float:
        """All parameters."""
        return self.parameters * self.number_bytes

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values of one token in every layer."""
        return self.kv_values_per_token * self.number_bytes


def kv_values(layers: int, kv_heads: int, head_size: int) -> int:
    """Numbers that one token adds to the KV cache: a key and a value in each layer and head."""
    return 2 * layers * kv_heads * head_size


# From the models' own config.json and cards: layers, key-value heads, numbers a head.
LLAMA_2_7B = Model("Llama 2 7B", 6.74e9, kv_values(32, 32, 128))
LLAMA_3_8B = Model("Llama 3.1 8B", 8.03e9, kv_values(32, 8, 128))
LLAMA_3_70B = Model("Llama 3.1 70B", 70.6e9, kv_values(80, 8, 128))


def of_instance(instance: Instance) -> Model:
    """The model that an instance serves. Raises `LookupError` if its files do not tell."""
    found = facts.read(instance.model)
    if found is None or not found.kv_values_per_token:
        raise LookupError(f"The files of {instance.model} do not say what a token takes.")
    return Model(str(instance.served_name), found.floats, found.kv_values_per_token)


def tokens_that_fit(model: Model, memory_bytes: float, share: float, other_bytes: float) -> int:
    """Tokens of KV cache in what weights and all else leave of a share of the memory."""
    left = share * memory_bytes - model.weight_bytes - other_bytes
    return max(int(left // model.kv_bytes_per_token), 0)


def concurrency(
    models: Sequence[Model], gpu_gib: float, *, share: float, other_gib: float, length: int
) -> pd.DataFrame:
    """One row a model: weights, bytes of a token, what is left for the cache on one GPU."""
    rows = []
    for model in models:
        tokens = tokens_that_fit(model, gpu_gib * GIB, share, other_gib * GIB)
        left = share * gpu_gib * GIB - model.weight_bytes - other_gib * GIB
        rows.append(
            {
                "weights": units.show(model.weight_bytes, "bytes"),
                "KV bytes a token": f"{model.kv_bytes_per_token:,}",
                "left for the KV cache": units.show(max(left, 0.0), "bytes"),
                "tokens": f"{tokens:,}",
                f"requests of {length:,}": f"{tokens // length:,}",
            }
        )
    return pd.DataFrame(rows, index=[model.name for model in models])


def forecast(*several: Instance) -> pd.DataFrame:
    """What was expected of each, before it was started: one row a part, one column an instance."""
    columns = {}
    for one in several:
        found = plan.read(one.memory_plan)
        if found is None:
            raise LookupError(f"{one.name} has no forecast: it was started by an older lab.")
        where: plan.Where = "gpu" if found.device == "cuda" else "host"
        cells = {part: _expected(found, part, where) for part in _PARTS}
        start, full = found.total(where)
        cells["at the start"] = units.show(start, "bytes")
        cells["when full"] = units.show(full, "bytes")
        columns[f"{one.name} ({'GPU' if where == 'gpu' else 'processes'})"] = cells
    return pd.DataFrame(columns)


_PARTS = (plan.WEIGHTS, plan.KV_CACHE, plan.OVERHEAD)


def _expected(found: plan.Plan, part: str, where: plan.Where) -> str:
    size = found.part(part, where)
    if not size:
        return "–"
    shown = units.show(size, "bytes")
    return f"up to {shown}" if found.comes_later(part) else shown


def of_run(run: Run) -> Observed:
    """What the engine held during a run. Raises `LookupError` if that was not recorded."""
    found = observed.of_run(run, ENGINES)
    if found is None or not found.held[0].size:
        raise LookupError(f"The run {run.run_id} has no memory recorded with it.")
    return found


def now(*several: Instance) -> list[Observed]:
    """What these instances hold now, as the dashboard's Memory page asks Prometheus for it.

    Raises `LookupError` if Prometheus does not tell it in time.
    """
    names = [one.name for one in several]
    deadline = time.monotonic() + _SEEN_WITHIN_S
    while True:
        url, _ = prometheus.address()
        wanted = [one for one in sources.local_sources() if one.name in names]
        span = Span.ending(time.time(), _SPAN_S)
        found = asking.read(url, span, wanted, asking.plans())
        if not isinstance(found, Failure) and all(one.held[0].size for one in found):
            return sorted(found, key=lambda one: names.index(one.name))
        if time.monotonic() > deadline:
            why = found.message if isinstance(found, Failure) else "it has seen nothing of them"
            raise LookupError(f"Prometheus does not tell the memory of {', '.join(names)}: {why}.")
        time.sleep(0.5)


def promql(instance: Instance) -> list[str]:
    """The queries behind `now`, for one instance."""
    source = next(one for one in sources.local_sources() if one.name == instance.name)
    return asking.queries(source).shown


def words(one: Observed) -> str:
    """Which memory was measured, and what the same cell shows on the other kind of machine."""
    if one.where == "gpu":
        return (
            f"{one.name}: memory on the GPU, as its driver tells it of the engine's processes. "
            "Without a GPU this cell shows the memory of the processes themselves."
        )
    counted = "shared pages counted once (PSS)" if one.kind == observed.PSS else "RSS"
    return (
        f"{one.name}: no GPU here, so this is the memory of its processes, {counted}. With a GPU "
        "this cell shows lab_instance_gpu_memory_bytes: the same layers, and CUDA's own in other."
    )


def beside(several: Sequence[Observed]) -> go.Figure:
    """Two bars an instance: the forecast at its start, and the most that was measured."""
    figure = go.Figure()
    lines = theme.lines_for_runs(["forecast", "measured"], dark=False)
    totals = [one.plan.total(one.where)[0] if one.plan else math.nan for one in several]
    for name, sizes in (
        ("forecast", totals),
        ("measured", [one.peak_bytes for one in several]),
    ):
        figure.add_bar(
            x=[one.name for one in several],
            y=sizes,
            name=f"{name}, {'at the start' if name == 'forecast' else 'at most'}",
            marker={"color": lines[name].colour},
            text=[units.show(size, "bytes") for size in sizes],
            textposition="outside",
            cliponaxis=False,
        )
    figure.update_layout(common(_HEIGHT), barmode="group")
    return figure.update_yaxes(**ticks("bytes"))
