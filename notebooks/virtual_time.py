"""An asyncio event loop whose clock jumps: timers fire in their order, exactly when due."""

import asyncio
import selectors
import threading
from collections.abc import Awaitable, Callable
from typing import Any


class _Jumping(selectors.SelectSelector):
    """Where others would sleep, moves the loop's clock."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everybody waits, and no timer is set: nothing will ever happen")
        self.loop.now_s += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at second 0, and needs no real time to get to a later one."""

    def __init__(self) -> None:
        selector = _Jumping()
        selector.loop = self
        self.now_s = 0.0
        super().__init__(selector)

    def time(self) -> float:
        """Seconds of this loop's own clock."""
        return self.now_s


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    """What `scenario()` returns, run from second 0 of a clock of its own.

    Raises `RuntimeError` where all its tasks wait for each other.
    """

    async def begun() -> Any:
        return await scenario()

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(begun())


def run_beside(scenario: Callable[[], Awaitable[Any]]) -> Any:
    """The same from within a notebook, whose own event loop goes on meanwhile."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(run(scenario))
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def now_s() -> float:
    """Seconds of the running loop's clock."""
    return asyncio.get_running_loop().time()
