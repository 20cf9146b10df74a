"""Where the lab keeps what it makes: everything under one git-ignored folder.

`SERVING_LAB_HOME` moves it (a second lab on one machine, or a test).
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def home() -> Path:
    """The lab's own folder; `.lab` in the project unless `SERVING_LAB_HOME` says otherwise."""
    return Path(os.environ.get("SERVING_LAB_HOME") or ROOT / ".lab").resolve()


def environments() -> Path:
    """One isolated Python environment an engine. Shared by all homes: they are only installs."""
    return ROOT / ".lab" / "envs"


def models() -> Path:
    """Converted and trained models, one folder each. Shared by all homes."""
    return ROOT / ".lab" / "models"


def instances() -> Path:
    """State of what runs: `<name>.json`."""
    return home() / "instances"


def workspace(name: str) -> Path:
    """The folder an instance may write in: its log, configuration, model repository."""
    return home() / "work" / name


def log_file(name: str) -> Path:
    """What the instance of that name writes; the logs of earlier starts stand beside it."""
    return workspace(name) / "server.log"


def targets() -> Path:
    """Prometheus `file_sd` files, one an instance or load test."""
    return home() / "targets"
