"""Writing the state of a living instance; every word of it is on disk whole or not at all."""

from __future__ import annotations

from dataclasses import replace

from servers import instances, paths, stopping, targets
from servers.errors import ServerError
from servers.instances import Instance
from servers.locks import locked, write_atomically
from servers.processes import shared_memory


def keep(instance: Instance) -> Instance:
    """Write what is now known of a living instance: what it said, its processes, its memory files.

    Has it scraped, too. Raises `ServerError` if it was stopped, or replaced by another start.
    """
    found = instances.members(instance)
    known = replace(
        instance,
        members=tuple((member.pid, member.create_time) for member in found),
        shm=tuple(sorted(shared_memory(found))),
    )
    with locked(paths.instances() / ".lock"):
        current = stopping.load_or_none(instance.name)
        if current is None or (current.pid, current.create_time) != (
            instance.pid,
            instance.create_time,
        ):
            raise ServerError(f"{instance.name!r} was stopped meanwhile.")
        write_atomically(instances.state_file(instance.name), known.to_json())
        targets.write(known)
    return known
