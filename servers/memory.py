"""What an instance takes of memory, as facts: an engine states it, the planner judges it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

What = Literal["weights", "KV cache", "overhead", "activations"]
WHATS: tuple[What, ...] = ("weights", "KV cache", "overhead", "activations")
GIB, MIB = 2**30, 2**20


@dataclass(frozen=True)
class Part:
    """What an instance takes for one purpose, in bytes; `None` where it cannot be known.

    `gpu_bytes` is what it takes of each of its GPUs. A part that comes `later` is not there at
    the start: requests fill it, up to this. `how` says what the number comes from.
    """

    what: What
    host_bytes: int | None = 0
    gpu_bytes: int | None = 0
    how: str = ""
    later: bool = False


@dataclass(frozen=True)
class Memory:
    """What an instance takes with these settings.

    `gpus` is on how many GPUs. With `gpu_share` it takes that part of the whole of each GPU,
    whatever its parts are: its KV cache is what the others leave. `fault` says why it cannot
    start, however much memory there is. `kv_bytes_per_token` is what a token adds to the KV cache
    (on each GPU), where there is one and that is known.
    """

    parts: tuple[Part, ...]
    gpus: int = 1
    gpu_share: float | None = None
    fault: str = ""
    kv_bytes_per_token: int | None = None

    def host(self, later: bool) -> int:
        """Bytes of the machine's memory: at the start, or with what comes later. Unknown is 0."""
        return sum(part.host_bytes or 0 for part in self.parts if later or not part.later)

    def gpu(self, later: bool) -> int:
        """Bytes of each of its GPUs: at the start, or with what comes later. Unknown is 0."""
        return sum(part.gpu_bytes or 0 for part in self.parts if later or not part.later)


def placed(device: str, what: What, size: int | None, how: str, *, later: bool = False) -> Part:
    """A part that lies in the memory of the device that computes: the GPU's, or the host's."""
    host, gpu = (0, size) if device == "cuda" else (size, 0)
    return Part(what, host, gpu, how, later)


def show(size_bytes: float) -> str:
    """`1.6 GiB`, `257 MiB`: two figures at least, never more than three digits."""
    size_mib = size_bytes / MIB
    if abs(size_mib) < 9.95:
        return f"{size_mib:.1f} MiB"
    if abs(size_mib) < 999.5:
        return f"{size_mib:.0f} MiB"
    size_gib = size_bytes / GIB
    return f"{size_gib:.1f} GiB" if abs(size_gib) < 99.95 else f"{size_gib:,.0f} GiB"
