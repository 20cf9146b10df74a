"""How a Ray Serve instance is started. Pure but for `prepare` and `version`."""

from __future__ import annotations

import json
from pathlib import Path

from servers import models, probe, sockets
from servers.contract import Launch, Request, Say
from servers.errors import ServerError
from servers.locks import write_atomically
from servers.models.build import INSIDE

HERE = Path(__file__).parent
# Below Ray's temporary folder: `session/sockets/plasma_store` is the longest.
_SOCKET_NAME_BYTES = 28
# Requests and answers are small and never pass through it.
_OBJECT_STORE_BYTES = 80 * 2**20


def launch(request: Request) -> Launch:
    """One process that makes a Ray node of this machine and serves on it.

    Raises `ServerError` for a split between variants without the pipeline that has them.
    """
    _check(request)
    base_url = f"http://{request.host}:{request.ports['http']}"
    return Launch(
        argv=(
            str(request.interpreter),
            str(HERE / "inside" / "run.py"),
            str(request.workspace / "ray.json"),
        ),
        env=_env(request),
        base_url=base_url,
        # Answered by a replica: the proxy is healthy before there is one.
        ready_url=f"{base_url}/version",
        metrics_url=f"http://127.0.0.1:{request.ports['metrics']}/metrics",
        ready_timeout_s=180.0,
        stop_grace_s=30.0,
        cleanup=sockets.cleanup(request.workspace, _SOCKET_NAME_BYTES),
    )


def prepare(request: Request, say: Say) -> None:
    """Write what the process reads; an empty folder for Ray's session."""
    sockets.make(request.workspace, _SOCKET_NAME_BYTES)
    classifier = models.classifier(say)
    write_atomically(request.workspace / "ray.json", configuration(request, classifier))


def configuration(request: Request, classifier: Path) -> str:
    """The text of the file that `inside/run.py` reads."""
    document = {
        "host": request.host,
        "ports": dict(request.ports),
        "object_store_bytes": _OBJECT_STORE_BYTES,
        "temporary": str(_temporary(request)),
        "classifier": str(classifier),
        "settings": dict(request.settings),
    }
    return json.dumps(document, indent=1)


def version(base_url: str) -> str | None:
    """The version of Ray that a running instance says it is; `None` if it does not answer."""
    return probe.get_text(f"{base_url}/version", "ray")


def _check(request: Request) -> None:
    share = request.settings["ab_share"]
    if share and not request.settings["pipeline"]:
        raise ServerError(
            f"ray-serve: ab_share={share} splits requests between the two classifiers of the "
            "pipeline, and pipeline is off. Set pipeline=true, or leave ab_share at 0."
        )


def _env(request: Request) -> dict[str, str]:
    """Silent, on this machine's own address, and with all files in the instance's folder."""
    temporary = str(_temporary(request))
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray's own switch for a node that stays on 127.0.0.1; otherwise it takes the network's.
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_AUTH_MODE": "disabled",
        "RAY_TMPDIR": temporary,
        "TMPDIR": temporary,
        # Ray keeps tokens and a usage file in the user's home.
        "HOME": temporary,
        "DASHBOARD_METRIC_PORT": str(request.ports["dashboard_metrics"]),
        "PYTHONPATH": f"{HERE / 'inside'}:{INSIDE / 'serving'}",
        "PYTHONDONTWRITEBYTECODE": "",
        "TOKENIZERS_PARALLELISM": "false",
    }


def _temporary(request: Request) -> Path:
    return sockets.folder(request.workspace, _SOCKET_NAME_BYTES)
