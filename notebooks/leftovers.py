"""What a notebook started and did not stop: found by a mark that every child inherits."""

from collections.abc import Callable

import psutil

from servers import instances, supervisor

MARK = "SERVING_LAB_NOTEBOOK"
_GRACE_S = 10.0


def processes(token: str) -> list[psutil.Process]:
    """The living processes whose environment carries the mark with this token."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == token:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


def engines(token: str) -> list[str]:
    """The lab's instances that were started under the mark and live, by name.

    An instance that ran before and was only used does not carry it.
    """
    pids = {process.pid for process in processes(token)}
    return [
        instance.name
        for instance in instances.all_instances()
        if any(member.pid in pids for member in instances.members(instance))
    ]


def stop(token: str, say: Callable[[str], None]) -> list[str]:
    """Stop everything that carries the mark; returns what it was, engines by their names."""
    stopped = engines(token)
    for name in stopped:
        supervisor.down(name, say=say)
    rest = processes(token)
    for process in rest:
        stopped.append(_words(process))
        _signal(process.terminate)
    _, alive = psutil.wait_procs(rest, timeout=_GRACE_S)
    for process in alive:
        _signal(process.kill)
    return stopped


def _words(process: psutil.Process) -> str:
    try:
        return f"{process.name()} (pid {process.pid})"
    except psutil.Error:
        return f"pid {process.pid}"


def _signal(send: Callable[[], None]) -> None:
    try:
        send()
    except psutil.NoSuchProcess:
        return
