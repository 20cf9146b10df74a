"""Loading and unloading models of a running tritonserver, one at a time.

Source: triton-inference-server/server, `docs/protocol/extension_model_repository.md`. A load of
a loaded model puts the new one in its place when it is ready; if it fails, the old one stays.
Both are in memory for that moment, which a language model may not afford: it is unloaded first.
"""

from __future__ import annotations

import http.client
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from servers import probe
from servers.contract import Say
from servers.errors import ServerError, UnsettledError
from servers.triton import repository

_LOADED_WITHIN_S = 300.0
_UNLOADED_WITHIN_S = 60.0
_POLL_S = 0.05


def change(
    base_url: str,
    folder: Path,
    now: Mapping[str, repository.Model],
    asked: Mapping[str, repository.Model],
    say: Say,
) -> None:
    """Have the server at `base_url` serve the models `asked` instead of `now`.

    Only what differs is touched: other models keep their processes. Raises `ServerError` with
    `now` served again, or `UnsettledError` if that could not be had either.
    """
    try:
        _change(base_url, folder, now, asked, say)
    except ServerError as error:
        try:
            _change(base_url, folder, asked, now, say)
        except ServerError as second:
            raise UnsettledError(
                f"{error} Going back failed too: {second} `lab down` stops it, `lab up` starts "
                "it anew."
            ) from error
        raise ServerError(f"{error} The settings it had are in force again.") from error


def _change(
    base_url: str,
    folder: Path,
    now: Mapping[str, repository.Model],
    asked: Mapping[str, repository.Model],
    say: Say,
) -> None:
    changed = [name for name in asked if asked[name] != now.get(name)]
    gone = [name for name in now if name not in asked]
    _unload(base_url, [*gone, *(name for name in changed if name == repository.LLM)])
    for name in gone:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in changed:
        say(f"loading {name}")
        repository.write_model(folder / name, asked[name])
        _load(base_url, name)


def _unload(base_url: str, names: Sequence[str]) -> None:
    """Unload the models, in whatever state they are, and wait until they are gone."""
    for name in names:
        _post(base_url, f"models/{quote(name, safe='')}/unload", _UNLOADED_WITHIN_S)
    deadline = time.monotonic() + _UNLOADED_WITHIN_S
    while left := sorted(set(names) & _present(base_url)):
        if time.monotonic() > deadline:
            raise ServerError(
                f"Triton has not let go of {', '.join(left)} within {_UNLOADED_WITHIN_S:.0f} s; "
                "requests may still be under way."
            )
        time.sleep(_POLL_S)


def _load(base_url: str, name: str) -> None:
    _post(base_url, f"models/{quote(name, safe='')}/load", _LOADED_WITHIN_S)


def _present(base_url: str) -> set[str]:
    """Models that have anything in memory: ready, being loaded or being unloaded."""
    found = json.loads(_post(base_url, "index", _UNLOADED_WITHIN_S) or "[]")
    return {str(one["name"]) for one in found if one.get("state", "UNAVAILABLE") != "UNAVAILABLE"}


def _post(base_url: str, path: str, timeout_s: float) -> str:
    """POST to the repository API; `ServerError` with Triton's own words if it refuses."""
    url = f"{base_url}/v2/repository/{path}"
    try:
        request = urllib.request.Request(url, data=b"{}", method="POST")
        with probe.OPENER.open(request, timeout=timeout_s) as answer:
            return str(answer.read().decode("utf-8", "replace"))
    except urllib.error.HTTPError as error:
        raise ServerError(f"Triton refused {path}: {_reason(error.read())}") from error
    except (OSError, http.client.HTTPException) as error:
        raise ServerError(f"Triton does not answer at {url}: {error!r}.") from error


def _reason(body: bytes) -> str:
    """The error in the server's words, on one line."""
    try:
        document: Any = json.loads(body)
        text = document["error"] if isinstance(document, dict) else body.decode()
    except (ValueError, KeyError, UnicodeDecodeError):
        text = repr(body[:300])
    # Behind it a Python model's traceback follows, as pybind11 writes it.
    words = " ".join(str(text).partition("\n\nAt:\n")[0].split())
    return f"{words.rstrip('.;')}."
