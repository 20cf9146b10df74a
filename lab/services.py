"""What the lab runs beside the engines: Prometheus, the process exporter, the dashboard."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from servers import catalog, instances, supervisor
from servers.catalog import ENGINES
from servers.contract import Engine, Launch, Request, Say
from servers.instances import Instance
from servers.locks import locked
from servers.paths import ROOT, home


def _launch_dashboard(request: Request) -> Launch:
    base_url = f"http://{request.host}:{request.ports['http']}"
    argv = (
        *(sys.executable, "-m", "streamlit", "run", str(ROOT / "dashboard" / "app.py")),
        *("--server.port", str(request.ports["http"]), "--server.address", request.host),
        *("--server.headless", "true"),
    )
    return Launch(
        argv=argv,
        env={},
        base_url=base_url,
        ready_url=f"{base_url}/_stcore/health",
        ready_timeout_s=60.0,
        stop_grace_s=5.0,
        cwd=ROOT,  # Streamlit reads its .streamlit/config.toml from where it runs.
    )


DASHBOARD = Engine(
    name="dashboard",
    title="Dashboard",
    summary="The Streamlit pages over the runs and the lab's Prometheus.",
    ports={"http": 8501},
    launch=_launch_dashboard,
)

# They serve no model, so they are neither loaded nor named as neighbours of a measurement.
EXPORTER = "exporter"
SERVICES = ("prometheus", EXPORTER, "dashboard")


def find(name: str) -> Engine:
    """The engine or service of that name; `ServerError` names those that exist."""
    return catalog.find(name, {**ENGINES, DASHBOARD.name: DASHBOARD})


def neighbours(name: str) -> list[str]:
    """The engines that run beside the one of that name, and may take of what it is measured on."""
    return [
        other.name
        for other in instances.all_instances()
        if other.name != name and other.engine not in SERVICES and instances.alive(other)
    ]


def watch(say: Say) -> Instance:
    """See to it that Prometheus and the process exporter run; returns Prometheus.

    Says something only where one of them has to be started.
    """
    _up_quietly(EXPORTER, say)
    return _up_quietly("prometheus", say)


def _up_quietly(name: str, say: Say) -> Instance:
    current = instances.load(name)
    running = current is not None and instances.status(current) == "running"
    if current is None or not running:
        return supervisor.up(ENGINES[name], say=say)
    # As it runs: somebody may have chosen its settings.
    return supervisor.up(ENGINES[name], settings=current.settings, say=lambda _: None)


@contextmanager
def alone(say: Say) -> Iterator[None]:
    """Wait until no other experiment of this lab is under way, and keep others waiting.

    Two at once would measure each other, and one could restart the engine under the other.
    """
    words = "another run of this lab is under way: waiting for its end (Ctrl-C gives up)"
    with locked(home() / "experiment.lock", lambda: say(words)):
        yield
