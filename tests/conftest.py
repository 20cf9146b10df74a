"""What holds for every test."""

import contextlib
import os
import re
import signal
import uuid

import psutil
import pytest
from gevent import monkey
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from servers.processes import MARK

# How long an example takes says something of the machine, nothing of the code.
settings.register_profile("lab", deadline=None)
settings.load_profile("lab")


SESSION = "SERVING_LAB_TEST_SESSION"


def pytest_configure() -> None:
    """Engines carry the session they were started in, so that what it leaves can be found.

    Where a shell started the tests in its background, Ctrl-C is ignored: also by every child.
    """
    os.environ.setdefault(SESSION, uuid.uuid4().hex)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_unconfigure(config: pytest.Config) -> None:
    """After Ctrl-C xdist ends its processes at once, whatever engines they had started."""
    if hasattr(config, "workerinput"):
        return
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            around = process.environ()
            if MARK in around and around.get(SESSION) == os.environ[SESSION]:
                process.kill()


MEASURES = re.compile(r"pytest\.mark\.(load(?!\(timed=False\))|notebook)")


class TwoRows(LoadScopeScheduling):
    """One process takes all files that measure, one after the other; another the rest.

    Two loads at a time would measure each other. What the rest does beside them they bear.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "measures" if MEASURES.search((self.config.rootpath / file).read_text()) else file


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> TwoRows:
    """How xdist deals out the tests."""
    return TwoRows(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Refuse to run where an import of Locust has patched this process: locks would hang for good.

    Locust makes threads of a process greenlets, and one that waits for a file lock then stops all
    the others. Scenarios and their users are tested as subprocesses.
    """
    if monkey.is_module_patched("threading"):
        pytest.exit("a test file imports Locust into the test process: use a subprocess", 3)
