"""What holds for every test."""

import signal

import pytest
from gevent import monkey
from hypothesis import settings

# How long an example takes says something of the machine, nothing of the code.
settings.register_profile("lab", deadline=None)
settings.load_profile("lab")


def pytest_configure() -> None:
    """Where a shell started the tests in its background, Ctrl-C is ignored: also by every child."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


HEAVY = ("engine", "notebook", "browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process takes all that loads the machine, one after the other, the other one the rest.

    Most of the rest waits for a load to pass. Two engines at a time would measure each other.
    """
    for item in items:
        heavy = any(item.get_closest_marker(mark) for mark in HEAVY)
        group = "heavy" if heavy else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(group))
    # What takes longest begins first (the sort is stable: files keep their order).
    items.sort(key=lambda item: item.get_closest_marker("xdist_group").args[0] != "heavy")


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Refuse to run where an import of Locust has patched this process: locks would hang for good.

    Locust makes threads of a process greenlets, and one that waits for a file lock then stops all
    the others. Scenarios and their users are tested as subprocesses.
    """
    if monkey.is_module_patched("threading"):
        pytest.exit("a test file imports Locust into the test process: use a subprocess", 3)
