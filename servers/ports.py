"""Choosing ports for an instance before it starts."""

from __future__ import annotations

import socket
from collections.abc import Mapping

from servers import instances, processes
from servers.contract import Engine
from servers.errors import ServerError

_TRIES = 200


def choose(engine: Engine, asked: Mapping[str, int], host: str) -> dict[str, int]:
    """A free port for each of the engine's names: the asked one, or its usual or the next free.

    Raises `ServerError` if an asked port is taken (saying by whom, if known), is no port, or
    has a name the engine does not know. Ports of living instances count as taken even before
    they listen.
    """
    _check_names(engine, asked)
    reserved = of_instances()
    chosen: dict[str, int] = {}
    for name, usual in engine.ports.items():
        if name in asked:
            _check_free(engine, name, asked[name], host, reserved)
            chosen[name] = asked[name]
        else:
            taken = {*reserved, *chosen.values(), *asked.values()}
            chosen[name] = _next_free(engine, usual, host, taken)
    return chosen


def check_host(host: str) -> None:
    """Raise `ServerError` if no server of this machine can listen on that address."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
            trial.bind((host, 0))
        if not host:
            raise OSError("it is empty")
    except OSError as error:
        raise ServerError(
            f"Nothing can listen on the host {host!r} ({error}). Give an IPv4 address or name of "
            "this machine: 127.0.0.1 for this machine alone, 0.0.0.0 for whoever can reach it."
        ) from error


def is_free(port: int, host: str) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError:
            return False
    return True


def _check_names(engine: Engine, asked: Mapping[str, int]) -> None:
    for name, port in asked.items():
        if name not in engine.ports:
            known = ", ".join(engine.ports)
            raise ServerError(f"{engine.name} has no port named {name!r}; it has: {known}.")
        if not 1 <= port <= 65535:
            raise ServerError(f"{port} is no port for {engine.name}: give one from 1 to 65535.")


def _check_free(
    engine: Engine, name: str, port: int, host: str, reserved: Mapping[int, str]
) -> None:
    if port in reserved:
        raise ServerError(
            f"Port {port}, asked for {engine.name}'s {name}, belongs to the instance "
            f"{reserved[port]!r}. Give another port or run `lab down {reserved[port]}` first."
        )
    if not is_free(port, host):
        holder = next(iter(processes.listeners(port)), None)
        raise ServerError(
            f"Port {port}, asked for {engine.name}'s {name}, cannot be used on {host}: "
            f"{processes.words(holder)} has it. Give another port, or none to have a free one "
            "chosen."
        )


def _next_free(engine: Engine, usual: int, host: str, taken: set[int]) -> int:
    for port in range(usual, min(usual + _TRIES, 65536)):
        if port not in taken and is_free(port, host):
            return port
    raise ServerError(
        f"No free port for {engine.name} on {host} from {usual} on ({_TRIES} tried). "
        "Check the host's name, or stop what holds them."
    )


def of_instances() -> dict[int, str]:
    """The ports of the living instances, by number: who has each."""
    return {
        port: instance.name
        for instance in instances.all_instances()
        if instances.alive(instance)
        for port in instance.ports.values()
    }
