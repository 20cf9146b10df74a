"""Finding the processes of an instance, and what they hold, without being told by them.

A child can outlive the process we started (vLLM's EngineCore does after a `kill -9` of its
parent). Three marks find it: an environment variable every child inherits, the session that
`start_new_session` made, and the list of members recorded when the instance became ready.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "SERVING_LAB_INSTANCE"
_SHM = Path("/dev/shm")
_CLOCK_TOLERANCE_S = 0.5


@dataclass(frozen=True)
class Member:
    """One living process, named so that a reused pid is never taken for it."""

    pid: int
    create_time: float

    def process(self) -> psutil.Process | None:
        """The process, or `None` if it is gone (a zombie counts as gone)."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.create_time) < _CLOCK_TOLERANCE_S
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.Error:
            return None

    def signal(self, number: int) -> None:
        """Send the signal if the process is still this one; otherwise do nothing."""
        process = self.process()
        if process is not None:
            try:
                process.send_signal(number)
            except psutil.NoSuchProcess:
                return


def is_same(pid: int, create_time: float, mark: str) -> bool:
    """Whether `pid` lives and is the process that was recorded.

    The start time decides; if it differs, because the clock was stepped since, the mark in
    the process's environment still does.
    """
    if pid <= 0:
        return False
    if Member(pid, create_time).process() is not None:
        return True
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
    except psutil.Error:
        return False
    return _environment(pid).get(MARK, "").startswith(mark)


def find(
    mark: str, pid: int, create_time: float, recorded: Collection[tuple[int, float]] = ()
) -> list[Member]:
    """The living processes that carry `mark`, are of the session of one that does, or recorded.

    A process carries the mark if its own begins with it; marks end in a colon. The session of
    `pid` counts while `pid` is the recorded process, alive or not yet reaped: afterwards its
    number may be used again, so that only a carrier, or a process that overwrote its
    environment, vouches for it.
    """
    seen = list(_look())
    sessions = {each.session for each in seen if each.mark.startswith(mark)}
    if pid > 0 and _is_or_was(pid, create_time, mark):
        sessions.add(pid)
    gone = pid if pid > 0 and not psutil.pid_exists(pid) else None
    known = dict(recorded)
    return [
        each.member
        for each in seen
        if each.mark.startswith(mark)
        or each.session in sessions
        or (each.session == gone and each.overwritten)
        or abs(known.get(each.member.pid, 0) - each.member.create_time) < _CLOCK_TOLERANCE_S
    ]


@dataclass(frozen=True)
class _Seen:
    """One living process as a look at the system showed it."""

    member: Member
    session: int
    mark: str
    overwritten: bool


def _look() -> Iterator[_Seen]:
    for pid in psutil.pids():
        try:
            process = psutil.Process(pid)
            if pid == 0 or process.status() == psutil.STATUS_ZOMBIE:
                continue
            member, session = Member(pid, process.create_time()), os.getsid(pid)
        except (psutil.Error, OSError):
            continue
        environment = _environment(pid)
        # Renaming a process (setproctitle) writes over its environment.
        overwritten = "PATH" not in environment
        yield _Seen(member, session, environment.get(MARK, ""), overwritten)


def marked_names(home: Path) -> set[str]:
    """The names of instances of this `home` that living processes say they belong to."""
    found = set()
    for pid in psutil.pids():
        where, *rest = _environment(pid).get(MARK, "").rsplit(":", 3)
        if where == str(home) and len(rest) == 3:
            found.add(rest[0])
    return found


def listeners(port: int) -> list[int]:
    """The living processes that listen on the TCP port, as far as this user may know them."""
    try:
        connections = psutil.net_connections(kind="tcp")
    except psutil.Error:
        return []
    found = {
        connection.pid
        for connection in connections
        if connection.status == psutil.CONN_LISTEN
        and connection.laddr
        and connection.laddr.port == port
        and connection.pid is not None
    }
    return sorted(pid for pid in found if psutil.pid_exists(pid))


def words(pid: int | None) -> str:
    """A process, for a message: `python (pid 12)`, or `another program` if it is not known."""
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})" if pid else "another program"
    except psutil.Error:
        return "another program"


def shared_memory(members: Iterable[Member]) -> set[str]:
    """The /dev/shm files these processes have mapped or open."""
    held: set[str] = set()
    for member in members:
        held |= _held(member.pid)
    return held


def remove_unused_shared_memory(files: Iterable[str]) -> list[str]:
    """Remove those of `files` that are ours and that no living process holds; returns them."""
    ours = {file for file in files if _is_our_file(file)}
    if not ours:
        return []
    for pid in psutil.pids():
        ours -= _held(pid)
    removed = []
    for file in sorted(ours):
        try:
            Path(file).unlink()
            removed.append(file)
        except OSError:
            continue
    return removed


def _is_our_file(file: str) -> bool:
    try:
        path = Path(file)
        return path.is_relative_to(_SHM) and path.stat().st_uid == os.getuid()
    except OSError:
        return False


def _held(pid: int) -> set[str]:
    held = set()
    try:
        with Path(f"/proc/{pid}/maps").open(encoding="utf-8", errors="replace") as maps:
            for line in maps:
                start = line.find("/dev/shm/")
                if start >= 0:
                    held.add(line[start:].rstrip("\n"))
    except OSError:
        pass
    try:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            target = str(descriptor.readlink())
            if target.startswith("/dev/shm/"):
                held.add(target)
    except OSError:
        pass
    return {file for file in held if not file.endswith(" (deleted)")}


def _is_or_was(pid: int, create_time: float, mark: str) -> bool:
    """Whether `pid` is the recorded process, alive or a zombie nobody has reaped yet."""
    try:
        started = psutil.Process(pid).create_time()
    except psutil.Error:
        return False
    return abs(started - create_time) < _CLOCK_TOLERANCE_S or is_same(pid, create_time, mark)


def _environment(pid: int) -> dict[str, str]:
    try:
        return psutil.Process(pid).environ()
    except (psutil.Error, OSError, ValueError):
        return {}
