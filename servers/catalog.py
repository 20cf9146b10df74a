"""The engines this lab knows: one folder and one line each."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module

from servers.contract import Engine
from servers.errors import ServerError

_FOLDERS = (
    "vllm",
    "vllm_fastapi",
    "triton",
    "tgi",
    "bentoml",
    "torchserve",
    "ray_serve",
    "fastapi_batcher",
    "reference",
    "prometheus",
    "exporter",
)

# Each folder's own word, so that an engine is added, or taken away, by its line alone.
_FOUND: tuple[Engine, ...] = tuple(import_module(f"servers.{one}").ENGINE for one in _FOLDERS)
ENGINES: dict[str, Engine] = {engine.name: engine for engine in _FOUND}


def own_title(name: str, title: str) -> str:
    """An instance's title where it is not its engine's, as a stand-in's is; else nothing."""
    engine = ENGINES.get(name)
    return title if engine is not None and title != engine.title else ""


def find(name: str, among: Mapping[str, Engine] = ENGINES) -> Engine:
    """The engine of that name. Raises `ServerError` naming the known ones."""
    engine = among.get(name)
    if engine is not None:
        return engine
    close = difflib.get_close_matches(name.lower(), among, n=1)
    hint = f"Did you mean {close[0]}? " if close else ""
    raise ServerError(f"There is no engine {name!r}. {hint}Known: {', '.join(sorted(among))}.")
