"""Ending an instance: politely, then surely, then checking that nothing of it is left."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from servers import instances, paths, processes, targets
from servers.contract import Say
from servers.errors import ServerError
from servers.instances import Instance
from servers.locks import locked, write_atomically
from servers.processes import Member

_POLL_S = 0.1
_CHILDREN_GRACE_S = 3.0
_KILL_WAIT_S = 30.0
_CLEANUP_S = 60.0
# Children of this very process: they stay zombies until we wait for them.
_children: list[subprocess.Popen[bytes]] = []


def known_names() -> list[str]:
    """All names of this home: those with a state file and those that living processes carry."""
    return sorted({*instances.names(), *processes.marked_names(paths.home())})


def stop_all(names: Sequence[str], say: Say) -> list[str]:
    """Stop these instances at the same time; returns the names of which something was stopped."""
    if not names:
        return []
    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        results = list(pool.map(lambda name: _stop_or_error(name, say), names))
    errors = [str(result) for result in results if isinstance(result, ServerError)]
    if errors:
        raise ServerError(" ".join(errors))
    return [name for name, stopped in zip(names, results, strict=True) if stopped is True]


def _stop_or_error(name: str, say: Say) -> bool | ServerError:
    try:
        instance = load_or_none(name)
        stopped = stop(name, instance, say)
        if instance is not None and load_or_none(name) is None:
            # What an earlier start left whose state file somebody removed.
            stopped = stop(name, None, say) or stopped
        return stopped
    except ServerError as error:
        return error


def stop(name: str, instance: Instance | None, say: Say) -> bool:
    """Stop what there is of the instance; `False` if nothing of it lived.

    SIGTERM goes to the first process, which ends its own children in good order; what is left
    when it has gone or its grace has passed gets SIGTERM, then SIGKILL. Its /dev/shm files
    that no living process holds are removed. Raises `ServerError` if something stays alive.
    """
    found = left_of(name, instance)
    shm = set(instance.shm if instance else ()) | processes.shared_memory(found)
    if found:
        began = time.monotonic()
        say(f"{name}: stopping {len(found)} process{'es' if len(found) > 1 else ''}")
        living = _living(instance, found)
        if instance is not None:
            _note_stop(instance)
        _end(instance, found, living)
        _check_gone(name, living())
        say(f"{name}: stopped after {time.monotonic() - began:.1f} s")
    if instance is not None and instance.cleanup:
        _clean_up(instance.cleanup)
    if instance is not None and instance.shm_prefix:
        shm |= {str(file) for file in Path("/dev/shm").glob(f"{instance.shm_prefix}*")}
    removed = processes.remove_unused_shared_memory(shm)
    if removed:
        say(f"{name}: removed its shared memory {', '.join(removed)}")
    with locked(paths.instances() / ".lock"):
        forget(name, instance)
    return bool(found)


def was_stopped(instance: Instance) -> bool:
    """Whether somebody has begun to stop this very start, or has done it."""
    current = load_or_none(instance.name)
    if current is None or current.started_s != instance.started_s:
        return True
    try:
        return _note(instance.name).read_text(encoding="utf-8") == str(instance.started_s)
    except OSError:
        return False


def _note_stop(instance: Instance) -> None:
    """For who waits for it to be ready: it ends because it is stopped."""
    # On a full disk it must be possible to stop, too.
    with contextlib.suppress(OSError):
        write_atomically(_note(instance.name), str(instance.started_s))


def _note(name: str) -> Path:
    return paths.instances() / f".{name}.stopping"


def _clean_up(command: Sequence[str]) -> None:
    """Run the command that removes what lives outside the processes; it may find nothing."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_CLEANUP_S,
            check=False,
        )


def kill_now(instance: Instance) -> None:
    """SIGKILL whatever carries the instance's mark and forget it: a start that was cut short."""
    for member in left_of(instance.name, instance):
        member.signal(signal.SIGKILL)
    if instance.cleanup:
        _clean_up(instance.cleanup)
    forget(instance.name, instance)


def forget(name: str, instance: Instance | None) -> None:
    """Remove the state and target file, unless another instance took the name meanwhile.

    The caller holds the lock.
    """
    current = load_or_none(name)
    if current is not None and instance is not None and current.started_s != instance.started_s:
        return
    if current is not None and instance is None:
        return
    instances.state_file(name).unlink(missing_ok=True)
    _note(name).unlink(missing_ok=True)
    targets.remove(name)


def load_or_none(name: str) -> Instance | None:
    """The instance of that name; `None` if there is none or its state file is damaged."""
    try:
        return instances.load(name)
    except ServerError:
        return None


def adopt_child(process: subprocess.Popen[bytes]) -> None:
    """Have a process this one started reaped when it has ended."""
    _reap()
    _children.append(process)


def _reap() -> None:
    _children[:] = [child for child in _children if child.poll() is None]


def _lives(member: Member) -> bool:
    _reap()
    return member.process() is not None


def left_of(name: str, instance: Instance | None) -> list[Member]:
    """The living processes of this start; without one, of any start under that name."""
    _reap()
    if instance is not None:
        return instances.members(instance)
    return processes.find(instances.name_mark(name), 0, 0.0)


def _living(instance: Instance | None, found: list[Member]) -> Callable[[], list[Member]]:
    """How to ask again what is left: looking anew, or, for an unknown start, at what was found.

    (By name alone a look could find an instance that was started meanwhile.)
    """

    def of_found() -> list[Member]:
        return [member for member in found if _lives(member)]

    return of_found if instance is None else lambda: left_of(instance.name, instance)


def _end(
    instance: Instance | None, found: list[Member], living: Callable[[], list[Member]]
) -> None:
    leader = next((m for m in found if instance is not None and m.pid == instance.pid), None)
    if instance is not None and leader is not None:
        leader.signal(signal.SIGTERM)
        _wait(lambda: _lives(leader), instance.stop_grace_s)
    left = living()
    if left and leader not in left:
        for member in left:
            member.signal(signal.SIGTERM)
        _wait(lambda: bool(living()), _CHILDREN_GRACE_S)
    deadline = time.monotonic() + _KILL_WAIT_S
    while (left := living()) and time.monotonic() < deadline:
        for member in left:
            member.signal(signal.SIGKILL)
        time.sleep(_POLL_S)


def _wait(holds: Callable[[], bool], at_most_s: float) -> None:
    deadline = time.monotonic() + at_most_s
    while holds() and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _check_gone(name: str, left: list[Member]) -> None:
    if left:
        pids = ", ".join(str(member.pid) for member in left)
        raise ServerError(
            f"{name!r} could not be stopped: process {pids} outlived SIGKILL for "
            f"{_KILL_WAIT_S:.0f} s (the kernel holds it: a very busy machine, or a device driver)."
        )
