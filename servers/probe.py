"""Asking a server over HTTP whether it is there. Local addresses: never through a proxy."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Asks without a proxy, whatever the environment says."""
STARTING_S = 2.0
"""How long each look at one that starts may take: there is a next."""
SILENT_S = 10.0
"""How long a server that computes on all cores may be silent and still be well."""
_FAILURES = (OSError, http.client.HTTPException, ValueError)


def answers(url: str, timeout_s: float = STARTING_S) -> bool:
    """Whether a GET of `url` gives a 2xx status within `timeout_s`.

    A fragment (`#READY`; it is never sent) is a word that must stand in the answer as well.
    """
    word = urllib.parse.urlsplit(url).fragment.encode()
    try:
        with OPENER.open(url, timeout=timeout_s) as response:
            return 200 <= response.status < 300 and (not word or word in response.read())
    except _FAILURES:
        return False


def get_json(url: str) -> Any:
    """The JSON document at `url`, or `None` if there is none."""
    try:
        with OPENER.open(url, timeout=SILENT_S) as response:
            return json.load(response)
    except _FAILURES:
        return None


def get_text(url: str, name: str) -> str | None:
    """What stands under `name` in the JSON object at `url`; `None` if there is no such thing."""
    document = get_json(url)
    return str(document[name]) if isinstance(document, dict) and name in document else None
