"""The forecast of an instance's memory, as its state or a run's manifest keeps it. Pure.

`servers.forecast` writes it, measure/README.md describes it. What is older has none, and what
cannot be read counts as none: a page shows what was measured all the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Where = Literal["gpu", "host"]
WEIGHTS, KV_CACHE, OVERHEAD, ACTIVATIONS = "weights", "KV cache", "overhead", "activations"


@dataclass(frozen=True)
class PlanPart:
    """What was expected for one purpose; `None` where it could not be known.

    `gpu_bytes` are of each GPU. What comes `later` is filled by requests, up to this.
    """

    what: str
    host_bytes: int | None
    gpu_bytes: int | None
    later: bool
    how: str

    def bytes_in(self, where: Where) -> int | None:
        """Its bytes there."""
        return self.gpu_bytes if where == "gpu" else self.host_bytes


@dataclass(frozen=True)
class Plan:
    """A forecast. Sums count unknown parts as nothing."""

    device: str
    gpus: int
    kv_bytes_per_token: int | None
    parts: tuple[PlanPart, ...]
    host_bytes: tuple[int, int]
    gpu_bytes: tuple[int, int]

    def _times(self, where: Where) -> int:
        return max(self.gpus, 1) if where == "gpu" else 1

    def total(self, where: Where) -> tuple[int, int]:
        """Bytes on all its GPUs, or of the machine's memory: at the start, and when full."""
        start, full = self.gpu_bytes if where == "gpu" else self.host_bytes
        return start * self._times(where), full * self._times(where)

    def part(self, what: str, where: Where) -> int | None:
        """Bytes for this purpose on all its GPUs or in memory; `None` if no part of it is known."""
        known = [
            size
            for one in self.parts
            if one.what == what and (size := one.bytes_in(where)) is not None
        ]
        return sum(known) * self._times(where) if known else None

    def comes_later(self, what: str) -> bool:
        """Whether requests fill this part."""
        return any(one.later for one in self.parts if one.what == what)

    def unknown(self, where: Where) -> list[str]:
        """The purposes whose bytes there could not be known."""
        return [one.what for one in self.parts if one.bytes_in(where) is None]


def read(document: object) -> Plan | None:
    """The forecast of a manifest or a state file; `None` if there is none that can be read."""
    if not isinstance(document, Mapping):
        return None
    try:
        return Plan(
            str(document["device"]),
            int(document["gpus"]),
            _whole(document.get("kv_bytes_per_token")),
            tuple(_part(one) for one in document["parts"]),
            _pair(document["host_bytes"]),
            _pair(document["gpu_bytes"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def _part(one: Mapping[str, Any]) -> PlanPart:
    return PlanPart(
        str(one["what"]),
        _whole(one["host_bytes"]),
        _whole(one["gpu_bytes"]),
        bool(one["later"]),
        str(one.get("how", "")),
    )


def _pair(sums: Mapping[str, Any]) -> tuple[int, int]:
    return int(sums["start"]), int(sums["full"])


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)
