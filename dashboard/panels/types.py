"""What a live panel is, and what is asked of Prometheus for it. Facts only."""

from dataclasses import dataclass
from typing import Literal

from dashboard.units import Unit

Group = Literal["engine", "client", "process", "gpu"]
Reading = Literal["rate", "sum", "max", "quantile", "mean"]
Form = Literal["line", "buckets", "summary"]


@dataclass(frozen=True)
class Part:
    """One concept of a panel. `over` is the concept a counter is divided by to give a mean.

    A part with a label is drawn beside the panel's first, and only while it is not zero.
    """

    concept: str
    label: str = ""
    over: str | None = None


@dataclass(frozen=True)
class Panel:
    """One figure.

    A line of it is an instance (an engine's or a load test's), or a GPU. `reading` says what is
    done with a metric: its growth per second, its value (added up or the largest), a quantile's
    bounds, or a mean.
    """

    key: str
    title: str
    group: Group
    unit: Unit
    reading: Reading
    help: str
    parts: tuple[Part, ...]

    @property
    def identity(self) -> str:
        """The label that tells the series of two lines apart."""
        return "UUID" if self.group == "gpu" else "instance"


@dataclass(frozen=True)
class Query:
    """An expression and how its answer is read: `scale` turns values into the panel's unit.

    `identity` is the label by which the answer's series are told apart.
    """

    expression: str
    form: Form
    scale: float
    label: str
    metric: str
    note: str = ""
    identity: str = "instance"
