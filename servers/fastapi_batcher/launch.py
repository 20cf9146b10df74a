"""How the application is started: its own program in its own environment."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from servers import models, paths, probe
from servers.contract import Launch, Request, Say
from servers.fastapi_batcher.knobs import KNOBS
from servers.models.build import INSIDE

_MODEL = "model"
_JOBS = "jobs.sqlite3"
# Of litequeue's states of a message (`inside/jobs.py`): waiting 0, running 1, done 2.
_DONE = 2


def launch(request: Request) -> Launch:
    """Its program with a flag for each knob. Nothing is written here."""
    settings = (word for knob in KNOBS for word in (knob.flag, str(request.settings[knob.name])))
    base_url = f"http://{request.host}:{request.ports['http']}"
    return Launch(
        argv=(
            *(str(request.interpreter), "-m", "servers.fastapi_batcher.inside"),
            *("--host", request.host, "--port", str(request.ports["http"])),
            *("--model", str(request.workspace / _MODEL)),
            *("--jobs", str(request.workspace / _JOBS)),
            *settings,
        ),
        env={
            "PYTHONPATH": f"{paths.ROOT}:{INSIDE}",
            "TOKENIZERS_PARALLELISM": "false",
        },
        base_url=base_url,
        ready_url=f"{base_url}/health",
        metrics_url=f"{base_url}/metrics",
        ready_timeout_s=60.0,
        # Longer than the application gives its clients to take their answers.
        stop_grace_s=20.0,
    )


def prepare(request: Request, say: Say) -> None:
    """Have the classifier made, and linked where the program looks for it.

    Says how many jobs an earlier start left: they take their turns with what is asked now.
    """
    link = request.workspace / _MODEL
    link.unlink(missing_ok=True)
    link.symlink_to(models.classifier(say))
    file = request.workspace / _JOBS
    if left := unfinished_jobs(file):
        say(
            f"{request.instance}: {left} {'job is' if left == 1 else 'jobs are'} left of an "
            "earlier start and computed now: warm-up and a measurement are slower until then. "
            f"To give them up, stop it and remove {file}"
        )


def unfinished_jobs(file: Path) -> int:
    """The jobs in the file that wait or were being computed; 0 if it cannot be read as such."""
    if not file.exists():
        return 0
    query = f"SELECT COUNT(*) FROM jobs WHERE status < {_DONE}"
    try:
        with contextlib.closing(sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True)) as jobs:
            return int(jobs.execute(query).fetchone()[0])
    except sqlite3.Error:
        return 0


def version(base_url: str) -> str | None:
    """The versions a running instance says it is made of, such as `FastAPI 0.165.0, …`."""
    return probe.get_text(f"{base_url}/", "version")
