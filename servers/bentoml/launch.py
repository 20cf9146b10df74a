"""How a BentoML instance is built and started. Pure but for `prepare` and `version`."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from servers import environments, models, probe
from servers.contract import Launch, Request, Say
from servers.models.build import INSIDE

BENTO = "classifier:lab"
_HERE = Path(__file__).parent / "inside"
_SOURCES = (
    _HERE / "service.py",
    _HERE / "bentofile.yaml",
    INSIDE / "serving" / "classifying.py",
)
_MODEL_FILES = ("model.onnx", "tokenizer.json", "card.json")
# The knob, and what the service calls it.
_ARGUMENTS = {
    "max_batch_size": "max_batch_size",
    "max_latency_ms": "max_latency_ms",
    "instances": "workers",
    "threads": "threads",
}
_BUILD_TIMEOUT_S = 180.0


def launch(request: Request) -> Launch:
    """`bentoml serve` of the bento that `prepare` built, the knobs' values being in it.

    (A bento keeps the arguments it was built with: `bentoml serve --arg` is silently without
    effect on one, and works on a service that was not built only.)

    BentoML's process manager takes two more ports by itself, free ones on 127.0.0.1, for its own
    control; no flag can say which.
    """
    address = f"http://{request.host}:{request.ports['http']}"
    return Launch(
        argv=(
            *(str(request.interpreter), "-m", "bentoml", "serve", BENTO),
            *("--host", request.host, "--port", str(request.ports["http"])),
        ),
        env={
            **_environment(request.workspace),
            "OMP_NUM_THREADS": str(request.settings["threads"]),
            "TOKENIZERS_PARALLELISM": "false",
        },
        base_url=address,
        ready_url=f"{address}/readyz",
        metrics_url=f"{address}/metrics",
        ready_timeout_s=90.0,
        stop_grace_s=20.0,
    )


def build_command(request: Request, context: Path) -> tuple[str, ...]:
    """`bentoml build` of the folder `context`, with the knobs as arguments of the service."""
    words = [
        word
        for knob, argument in _ARGUMENTS.items()
        for word in ("--arg", f"{argument}={request.settings[knob]}")
    ]
    version = BENTO.partition(":")[2]
    return (
        *(str(request.interpreter), "-m", "bentoml", "build", str(context)),
        *("--version", version, "--output", "tag", *words),
    )


def prepare(request: Request, say: Say) -> None:
    """Build the bento, into a store of this instance's own.

    Raises `ServerError` with the last lines of what it said if that fails.
    """
    workspace = request.workspace
    for old in (workspace / "home", workspace / "tmp"):
        shutil.rmtree(old, ignore_errors=True)
    (workspace / "tmp").mkdir(parents=True)
    say(f"{request.instance}: building the bento {BENTO}")
    # BentoML refuses to build in a folder any part of whose path begins with a dot, as the lab's
    # own does.
    with tempfile.TemporaryDirectory(prefix="serving-lab-bento-") as folder:
        context = Path(folder)
        (context / "model").mkdir()
        for source in _SOURCES:
            shutil.copy(source, context)
        for name in _MODEL_FILES:
            shutil.copy(models.classifier(say) / name, context / "model")
        _build(request, context)


def _build(request: Request, context: Path) -> None:
    # BentoML looks for uv, and without one would install it.
    uv = str(Path(environments.find_uv()).parent)
    env = {
        **_environment(request.workspace),
        "PATH": os.pathsep.join([uv, os.environ.get("PATH", "")]),
    }
    environments.run(
        f"the bento {BENTO}", build_command(request, context), context, env, _BUILD_TIMEOUT_S
    )


def version(base_url: str) -> str | None:
    """The version of BentoML that a running service says; `None` if it does not answer."""
    # The first to ask waits while it is written.
    document = probe.get_json(f"{base_url}/docs.json")
    try:
        found = re.search(r"BentoML-(\d[\w.]*)", document["info"]["description"])
    except (KeyError, TypeError):
        return None
    return found[1] if found else None


def _environment(workspace: Path) -> Mapping[str, str]:
    """Its store, its metrics and its temporary files in the workspace, and no usage data sent.

    (`1` would not do: BentoML takes only the word `true` for yes.)
    """
    return {
        "BENTOML_HOME": str(workspace / "home"),
        "BENTOML_DO_NOT_TRACK": "true",
        "TMPDIR": str(workspace / "tmp"),
    }
