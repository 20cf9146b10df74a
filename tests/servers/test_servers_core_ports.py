"""A port that somebody takes between its choice and the start, checked with a stand-in server."""

import socket
from collections.abc import Iterator

import pytest
from servers_standin import STANDIN, processes_of

from servers import instances, ports, supervisor
from servers.errors import PortTakenError


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of another program: this test, listening."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_port_taken_meanwhile_is_said_and_another_is_chosen(
    lab_home, stranger: int, monkeypatch: pytest.MonkeyPatch
):
    really, told = ports.choose, []
    chosen = iter([{"http": stranger}])
    monkeypatch.setattr(ports, "choose", lambda *args: next(chosen, None) or really(*args))
    instance = supervisor.up(STANDIN, say=told.append)
    assert instances.status(instance) == "running"
    assert instance.ports["http"] != stranger
    assert any(f"Port {stranger}" in line and "Starting again" in line for line in told)


def test_a_port_that_is_always_taken_ends_with_an_error_and_nothing_left(
    lab_home, stranger: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ports, "choose", lambda *_: {"http": stranger})
    with pytest.raises(PortTakenError, match=f"Port {stranger}.*taken meanwhile"):
        supervisor.up(STANDIN, say=lambda _: None)
    assert processes_of(lab_home) == []
    assert instances.names() == []
