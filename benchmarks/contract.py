"""What a load generator is to the benchmark: a command line, and where it writes its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from servers.contract import Environment

Gap = Literal["chunk gap", "ITL", "TPOT"]
# How the tool's percentiles are computed, in numpy's words: the truth is taken by the same rule.
Quantile = Literal["linear", "inverted_cdf"]


@dataclass(frozen=True)
class Job:
    """One load for one tool: `streams` at a time, each sending again when its answer is whole.

    A tool that counts sends `requests`; one that goes by time runs for `seconds`; both are the
    same load if the server keeps its times. Whatever the tool writes goes into `folder`.
    """

    python: Path
    url: str
    model: str
    tokenizer: Path
    streams: int
    requests: int
    seconds: int
    prompt_tokens: int
    output_tokens: int
    folder: Path

    def script(self, name: str) -> Path:
        """A command that the tool's environment holds."""
        return self.python.parent / name


@dataclass(frozen=True)
class Figures:
    """What is compared: seconds, and of how many requests. The gap is the tool's own kind."""

    requests: int
    ttft_p50_s: float
    ttft_p99_s: float
    gap_p50_s: float
    gap_p99_s: float


@dataclass(frozen=True)
class Tool:
    """A load generator with one set of settings.

    `gap` is what it reports of the time between tokens: the gaps of all chunks pooled, or one
    mean a request (`ITL`, `TPOT`), which hides them. `environment` is `None` for what runs in the
    project's own. `argv` is pure; `read` takes the job's folder and raises `OSError`, `ValueError`,
    `KeyError`, `TypeError` or `IndexError` if the numbers are not there. `counted` says which
    requests the figures are of, by the X-Request-Id they carried; without it they are of all. One
    that is `warmed` sends a request a stream beforehand and leaves those out of its figures.
    """

    name: str
    setting: str
    title: str
    argv: Callable[[Job], tuple[str, ...]]
    read: Callable[[Path], Figures]
    gap: Gap
    quantile: Quantile
    counted: Callable[[Path], frozenset[str]] | None = None
    warmed: bool = False
    environment: Environment | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def key(self) -> str:
        """A short name of its own for files and results."""
        return f"{self.name}-{self.setting}"
