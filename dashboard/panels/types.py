"""What a panel is, and what is asked of Prometheus for it. Facts only."""

from dataclasses import dataclass
from typing import Literal

from dashboard.units import Unit

Group = Literal["engine", "client", "process", "gpu"]
Topic = Literal["latency", "phases", "requests", "batching", "cache", "tokens", "machine"]
Reading = Literal["rate", "sum", "max", "quantile", "mean", "share", "heatmap", "labels"]
Form = Literal["line", "buckets", "summary", "labels"]


@dataclass(frozen=True)
class Part:
    """One concept of a panel.

    `over` is the concept it is divided by: a counter's growth for each step of another. With
    `each` the values of the metric's label `by` are series of their own. A part with a label is
    drawn beside the panel's first, and only while it is not zero.
    """

    concept: str
    label: str = ""
    over: str | None = None
    each: bool = False


@dataclass(frozen=True)
class Panel:
    """One figure.

    A line of it is an instance (an engine's or a load test's), or a GPU. `reading` says what is
    done with a metric: its growth per second (`rate`), its value (`sum` or the largest, `max`), a
    quantile's bounds, a mean or a `share` (one growth over another), the rate in each bucket
    (`heatmap`), or nothing but its labels, which are the facts (`labels`). `stacked` adds the
    lines of a source up. `topic` is what it is about within its group; `pair` is the key of the
    panel that shows the same quantity from the other side, the client's or the engine's.
    """

    key: str
    title: str
    group: Group
    unit: Unit
    reading: Reading
    help: str
    parts: tuple[Part, ...]
    topic: Topic = "latency"
    stacked: bool = False
    pair: str = ""

    @property
    def identity(self) -> str:
        """The label that tells the series of two lines apart."""
        return "UUID" if self.group == "gpu" else "instance"


@dataclass(frozen=True)
class Query:
    """An expression and how its answer is read: `scale` turns values into the panel's unit.

    `identity` is the label by which the answer's series are told apart, `by` the one whose values
    are lines of their own within it.
    """

    expression: str
    form: Form
    scale: float
    label: str
    metric: str
    note: str = ""
    identity: str = "instance"
    by: str = ""
