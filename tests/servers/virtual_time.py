"""An asyncio event loop whose clock jumps: timers fire in their order, exactly when due."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any


class _Jumping(selectors.SelectSelector):
    """Where others would sleep, moves the loop's clock."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list:
        if timeout is None:
            raise RuntimeError("everybody waits, and no timer is set: nothing will ever happen")
        self.loop.now_s += max(timeout, 0.0)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        selector = _Jumping()
        selector.loop = self
        self.now_s = 0.0
        super().__init__(selector)

    def time(self) -> float:
        return self.now_s


def run(scenario: Callable[[], Awaitable[Any]]) -> Any:
    """Run `scenario()` from second 0 of a clock of its own."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario())


def now_s() -> float:
    return asyncio.get_running_loop().time()
