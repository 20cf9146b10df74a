"""The figures in `benchmarks/README.md` and `benchmarks/figures.json`."""

from __future__ import annotations

import json
import os
import platform
import re
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks import table
from benchmarks.contract import Tool
from benchmarks.results import Result
from servers.locks import write_atomically

HERE = Path(__file__).parent
README, FIGURES = HERE / "README.md", HERE / "figures.json"
_BEGIN, _END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


def stamp(tools: Sequence[Tool], repetitions: int) -> dict[str, object]:
    """Where and with what the figures were taken."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "repetitions": repetitions,
        "versions": {tool.name: version for tool in tools if (version := _version(tool))},
    }


def markdown(
    tools: Sequence[Tool],
    levels: Sequence[int],
    results: Sequence[Result],
    stamped: dict[str, object],
) -> str:
    """All tables, with where they come from."""
    versions = ", ".join(f"{name} {v}" for name, v in dict(stamped["versions"]).items())  # type: ignore[call-overload]
    parts = [
        f"{stamped['date']}, {stamped['cores']} cores ({stamped['cpu']}), "
        f"{stamped['memory_gib']} GiB, Linux {stamped['kernel']}, Python {stamped['python']}; "
        f"{versions}. Medians of {stamped['repetitions']} repetitions.",
        table.overview(tools, levels, results),
    ]
    for streams in levels:
        parts += [f"### {streams:,} streams", table.details(tools, streams, results)]
    return "\n\n".join(parts)


def write(text: str, results: Sequence[Result], stamped: dict[str, object]) -> None:
    """Put the tables into the README, between its marks, and all results beside it."""
    fill(_BEGIN, _END, text)
    document = {**stamped, "results": [asdict(result) for result in results]}
    write_atomically(FIGURES, json.dumps(document, indent=1) + "\n")


def fill(begin: str, end: str, text: str) -> None:
    """Put figures into the README, between two marks of it."""
    readme = README.read_text(encoding="utf-8")
    pattern = re.compile(f"{re.escape(begin)}.*{re.escape(end)}", re.DOTALL)
    filled = pattern.sub(lambda _: f"{begin}\n\n{text}\n\n{end}", readme, count=1)
    write_atomically(README, filled)


def _version(tool: Tool) -> str | None:
    """The version its requirements name; vLLM's package has another name on the CPU."""
    if tool.environment is None:
        return None
    text = (tool.environment.folder / "requirements.txt").read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(tool.name)}(?:-cpu)?==([^\s\\]+)", text, re.MULTILINE)
    return found[1] if found else None


def _cpu_model() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()
