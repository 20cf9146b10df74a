"""Starting an instance's process. Its state is on disk before the process is, and whole after."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import psutil

from servers import environments, forecast, instances, paths, ports, stopping
from servers.contract import Engine, Launch, Request, Say
from servers.errors import ServerError
from servers.instances import Instance
from servers.locks import write_atomically
from servers.processes import MARK

_KEPT_LOGS = 3


def start(
    engine: Engine, asked: Request, asked_ports: Mapping[str, int], say: Say
) -> tuple[Instance, subprocess.Popen[bytes]]:
    """A new instance and its process, on ports of its own; the caller holds the instances' lock.

    Raises `ServerError` if there is no port or program to be had; nothing is left then.
    """
    request = replace(asked, ports=ports.choose(engine, asked_ports, asked.host))
    request.workspace.mkdir(parents=True, exist_ok=True)
    if engine.prepare is not None:
        engine.prepare(request, say)
    launch = engine.launch(request)
    log = paths.log_file(request.instance)
    _rotate(log)
    instance = _instance(engine, request, launch, log)
    state = instances.state_file(instance.name)
    write_atomically(state, instance.to_json())
    say(f"{instance.name}: starting {instance.title} on {request.device}, log {log}")
    try:
        cwd = launch.cwd or request.workspace
        process = spawn(launch.argv, launch.env, cwd, instances.mark(instance), log)
        started = replace(
            instance, pid=process.pid, create_time=psutil.Process(process.pid).create_time()
        )
        write_atomically(state, started.to_json())
    except OSError as error:
        stopping.forget(instance.name, instance)
        raise ServerError(f"{engine.name} cannot be started: {error}.") from error
    except BaseException:
        stopping.kill_now(instance)
        raise
    return started, process


def spawn(
    argv: Sequence[str],
    env: Mapping[str, str],
    cwd: Path,
    mark: str,
    log: Path,
    pass_fds: Collection[int] = (),
) -> subprocess.Popen[bytes]:
    """A process in a session of its own that carries `mark` and writes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env={**environments.variables(), **env, MARK: mark},
            start_new_session=True,
            pass_fds=pass_fds,
        )
    stopping.adopt_child(process)
    return process


def _instance(engine: Engine, request: Request, launch: Launch, log: Path) -> Instance:
    return Instance(
        name=request.instance,
        engine=engine.name,
        pid=0,
        create_time=0.0,
        argv=launch.argv,
        ports=dict(request.ports),
        host=request.host,
        base_url=launch.base_url,
        ready_url=launch.ready_url,
        metrics_url=launch.metrics_url,
        log=str(log),
        settings=dict(request.settings),
        model=request.model,
        served_name=request.served_name,
        device=request.device,
        protocols=engine.protocols,
        job=engine.job,
        started_s=time.time(),
        ready_timeout_s=launch.ready_timeout_s,
        stop_grace_s=launch.stop_grace_s,
        shm_prefix=launch.shm_prefix,
        way=request.way,
        title=launch.title or engine.title,
        cleanup=launch.cleanup,
        memory_plan=forecast.of(engine, request),
    )


def _rotate(log: Path) -> None:
    """Keep the logs of the last starts as `server.log.1` (the newest), `.2`, …"""
    for number in range(_KEPT_LOGS, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        newer = log if number == 1 else log.with_name(f"{log.name}.{number - 1}")
        if newer.exists():
            newer.replace(older)
