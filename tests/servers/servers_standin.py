"""The stand-in server as an `Engine`, and what the supervisor's tests ask about processes."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil

from servers import paths, processes, supervisor
from servers.contract import Engine, Knob, Launch, Request

SCRIPT = Path(__file__).with_name("standin_server.py")
BEHAVIOURS = ("good", "stubborn", "dies", "never", "leaks")
WARMING = ("cold", "never settles", "refuses", "fails in the stream", "quits")


def _launch(request: Request) -> Launch:
    port = request.ports["http"]
    base = f"http://127.0.0.1:{port}"
    return Launch(
        argv=(
            *(sys.executable, str(SCRIPT), "--port", str(port)),
            *("--behaviour", str(request.settings["behaviour"])),
            *("--children", str(request.settings["children"])),
        ),
        env={},
        base_url=base,
        ready_url=f"{base}/health",
        metrics_url=f"{base}/metrics",
        ready_timeout_s=float(request.settings["patience_s"]),
        stop_grace_s=1.0,
    )


STANDIN = Engine(
    name="standin",
    title="stand-in server",
    summary="Checks the supervisor; no engine.",
    ports={"http": 18400},
    launch=_launch,
    protocols=("openai-chat",),
    knobs=(
        Knob("behaviour", "--behaviour", "str", "good", "Nothing.", choices=BEHAVIOURS + WARMING),
        Knob("children", "--children", "int", 0, "Nothing.", minimum=0, maximum=8),
        Knob("patience_s", "", "float", 60.0, "Nothing.", minimum=0.1),
    ),
)


def quiet(_: str) -> None:
    pass


def start(**settings):
    name = settings.pop("name", None)
    ports = settings.pop("ports", None)
    return supervisor.up(STANDIN, name=name, ports=ports, settings=settings, say=quiet)


def start_elsewhere(home: Path, **settings) -> subprocess.Popen:
    """`up` in another program, which can be interrupted or killed."""
    code = f"""
        from servers_standin import STANDIN
        from servers import supervisor
        supervisor.up(STANDIN, settings={settings!r})
        print("UP", flush=True)
        input()
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    environment["SERVING_LAB_HOME"] = str(home)
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        cwd=paths.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_of(home: Path) -> list[int]:
    """The pids of every stand-in, or child of one, of this home, by environment."""
    found = []
    for pid in psutil.pids():
        try:
            process = psutil.Process(pid)
            value = process.environ().get(processes.MARK, "")
            if value.startswith(f"{home}:") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
        except psutil.Error:
            continue
    return found


def session_of(pid: int) -> list[int]:
    """The living pids of the session that `pid` leads or led."""
    found = []
    for other in psutil.pids():
        try:
            zombie = psutil.Process(other).status() == psutil.STATUS_ZOMBIE
            if os.getsid(other) == pid and not zombie:
                found.append(other)
        except (psutil.Error, OSError):
            continue
    return found
