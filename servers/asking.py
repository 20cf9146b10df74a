"""From what a user asks of an engine to a whole `Request`: checked, with environment and model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from servers import device, environments, knobs, paths, ports
from servers.contract import Engine, Request, Say, Value
from servers.errors import ServerError

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def request(
    engine: Engine,
    name: str,
    settings: Mapping[str, Value],
    model: str | None = None,
    host: str = "127.0.0.1",
) -> Request:
    """What is asked, checked before anything is installed: `equipped` adds what that gives.

    Raises `ServerError` for a name, a setting, a model or a host that cannot be.
    """
    if not _NAME.fullmatch(name):
        raise ServerError(
            f"{name!r} is no name for an instance: use small letters, digits, dots, dashes and "
            "underscores, a letter or digit first, at most 63."
        )
    if model is not None and engine.resolve_model is None:
        raise ServerError(f"{engine.name} serves no model of your choice: leave {model!r} out.")
    ports.check_host(host)
    return Request(
        instance=name,
        settings=knobs.complete(engine, settings),
        model=None,
        served_name="",
        ports={},
        host=host,
        workspace=paths.workspace(name),
        python=None,
        device=device.detect(),
    )


def equipped(engine: Engine, asked: Request, model: str | None, say: Say) -> Request:
    """The request with its way's environment and with its model, both made if they are not there.

    Raises `ServerError` if one of them cannot be had.
    """
    if engine.environment is not None and asked.way in engine.environment_for:
        python = environments.ensure(engine.environment, asked.device, say)
        asked = replace(asked, python=python)
    found = engine.resolve_model(model, say) if engine.resolve_model is not None else None
    return replace(asked, model=found, served_name=served_name(engine, found))


def served_name(engine: Engine, model: str | None) -> str:
    """The name requests give: a local folder's own name, a Hugging Face id as it is."""
    if model is None:
        return engine.name
    return Path(model).name if Path(model).is_dir() else model
