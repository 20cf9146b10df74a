"""The engines this lab knows: one folder and one line each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from servers.contract import Engine
from servers.errors import ServerError
from servers.exporter import ENGINE as EXPORTER
from servers.prometheus import ENGINE as PROMETHEUS
from servers.reference import ENGINE as REFERENCE
from servers.triton import ENGINE as TRITON
from servers.vllm import ENGINE as VLLM
from servers.vllm_fastapi import ENGINE as VLLM_FASTAPI

ENGINES: dict[str, Engine] = {
    engine.name: engine for engine in (VLLM, VLLM_FASTAPI, TRITON, REFERENCE, PROMETHEUS, EXPORTER)
}


def find(name: str, among: Mapping[str, Engine] = ENGINES) -> Engine:
    """The engine of that name. Raises `ServerError` naming the known ones."""
    engine = among.get(name)
    if engine is not None:
        return engine
    close = difflib.get_close_matches(name.lower(), among, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    raise ServerError(f"There is no engine {name!r}. {hint}Known: {', '.join(sorted(among))}.")
