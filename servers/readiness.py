"""Waiting until a started instance answers, showing what it waits for."""

from __future__ import annotations

import time
from pathlib import Path

from servers import instances, logs, probe, processes
from servers.contract import Say
from servers.errors import PortTakenError, ServerError
from servers.instances import Instance

_POLL_S = 0.1
# Also for one that was begun long ago by a program that is gone.
_LEAST_WAIT_S = 10.0
_SAY_EVERY_S = 5.0


def wait(instance: Instance, say: Say) -> float:
    """Return when the instance answers its readiness URL; the seconds since its start.

    Raises `ServerError` with the last lines of its log as soon as its process is gone, when
    `ready_timeout_s` has passed since the start (and it was waited for at least a while), or
    when it turns out that somebody else answers on its port.
    """
    began = time.monotonic()
    allowed_s = max(instance.ready_timeout_s - (time.time() - instance.started_s), _LEAST_WAIT_S)
    next_words = began + _SAY_EVERY_S
    while not probe.answers(instance.ready_url):
        if not instances.leader_alive(instance):
            _check_it_is_ours(instance)
            raise ServerError(failed(instance, "ended before it was ready"))
        now = time.monotonic()
        if now - began > allowed_s:
            words = f"was not ready after {now - began:.0f} s (asked {instance.ready_url})"
            raise ServerError(failed(instance, words))
        if now >= next_words:
            _check_it_is_ours(instance)
            next_words = now + _SAY_EVERY_S
            line = (logs.tail(Path(instance.log), 1) or ["nothing logged yet"])[-1]
            say(f"{instance.name}: loading, {now - began:.0f} s: {line[:120]}")
        time.sleep(_POLL_S)
    _check_it_is_ours(instance)
    return time.time() - instance.started_s


def failed(instance: Instance, what: str) -> str:
    """What befell an instance, in words, with the first error and the last lines of its log."""
    said = logs.quoted(logs.tail(Path(instance.log), 15) or ["(nothing)"])
    cause = logs.first_error(Path(instance.log))
    first = f"The first error in its log: {cause}. " if cause and cause not in said else ""
    return (
        f"{instance.engine} (instance {instance.name!r}) {what}. {first}The last it wrote, whole "
        f"in {instance.log}:\n{said}"
    )


def _check_it_is_ours(instance: Instance) -> None:
    """Raise `PortTakenError` if another program listens where the instance should.

    Two servers may listen on one port (vLLM allows it) and share its requests: also an error.
    """
    members = {member.pid for member in instances.members(instance)}
    for port in instance.ports.values():
        strangers = [pid for pid in processes.listeners(port) if pid not in members]
        if strangers:
            raise PortTakenError(
                f"Port {port}, chosen for {instance.name!r}, was taken meanwhile by "
                f"{processes.words(strangers[0])}. Start again, on another port."
            )
