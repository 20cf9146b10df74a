"""Prometheus' list of what to scrape: one `file_sd` file an instance or load test."""

from __future__ import annotations

import json
import socket
import time
from urllib.parse import urlsplit

from servers import paths
from servers.instances import Instance
from servers.locks import write_atomically

_CLIENT_GRACE_S = 60.0


def write(instance: Instance) -> None:
    """Have the instance scraped, if it has a metrics address."""
    if instance.metrics_url is None:
        return
    url = urlsplit(instance.metrics_url)
    labels = {
        "job": instance.job,
        "engine": instance.engine,
        # No metric tells an engine from its stand-in.
        "title": instance.title,
        "instance": instance.name,
        "__metrics_path__": url.path or "/metrics",
    }
    document = [{"targets": [url.netloc], "labels": labels}]
    write_atomically(paths.targets() / f"{instance.name}.json", json.dumps(document))


def remove(name: str) -> None:
    """Have the instance of that name scraped no more."""
    (paths.targets() / f"{name}.json").unlink(missing_ok=True)


def remove_stale_clients() -> list[str]:
    """Remove the files of load tests that are gone (killed before they could); returns names.

    A load test's file is stale when nothing listens at its target and it is not brand new.
    """
    removed = []
    for path in paths.targets().glob("[!.]*.json"):
        try:
            old = time.time() - path.stat().st_mtime > _CLIENT_GRACE_S
            groups = json.loads(path.read_text(encoding="utf-8"))
            if not old or groups[0]["labels"].get("job") != "client":
                continue
            reached = any(_listens(target) for group in groups for target in group["targets"])
        except (OSError, ValueError, LookupError, TypeError, AttributeError):
            continue
        if not reached:
            path.unlink(missing_ok=True)
            removed.append(path.stem)
    return removed


def _listens(target: str) -> bool:
    host, _, port = target.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=0.5):
            return True
    except (OSError, ValueError, OverflowError):
        return False
