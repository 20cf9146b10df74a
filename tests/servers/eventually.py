"""Waiting for what must come true, however slow the machine is."""

import time
from collections.abc import Callable


def eventually(holds: Callable[[], object], at_most_s: float = 60.0) -> bool:
    """Whether `holds()` comes true; gives up after `at_most_s` on a very slow machine."""
    deadline = time.monotonic() + at_most_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True
