"""Waking at a moment and not a millisecond later: what an open loop starts its requests by.

The timers of the event loop are good to about a millisecond (its poll counts whole ones). On
Linux the kernel's own timer (`timerfd`, absolute, CLOCK_MONOTONIC) wakes the loop like a socket
that has become readable: a few hundredths of a millisecond. Elsewhere the loop's timers do.
"""

import ctypes
import os
import struct
import sys
from typing import Any, Protocol

import gevent
from gevent.event import Event

from loadtests.clock import RunClock

_CLOCK_MONOTONIC = 1
_ABSOLUTE = 1
_READABLE = 1
_ITIMERSPEC = struct.Struct("qqqq")
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" and struct.calcsize("l") == 8 else None


class Alarm(Protocol):
    """Sleeps until moments of the run's clock, for one greenlet."""

    def wait_until(self, at_s: float) -> bool:
        """Sleep until then; at once, and true, when the load is to end.

        Also where the moment has passed, others get their turn first: a dispatcher that is late
        must not keep answers waiting.
        """

    def close(self) -> None:
        """Give back what it holds."""


def new_alarm(clock: RunClock, stopping: Event) -> Alarm:
    """The best one there is here. `stopping` is the end of the load."""
    return _LoopAlarm(clock, stopping) if _LIBC is None else _KernelAlarm(clock, stopping)


class _LoopAlarm:
    def __init__(self, clock: RunClock, stopping: Event) -> None:
        self._clock, self._stopping = clock, stopping

    def wait_until(self, at_s: float) -> bool:
        return bool(self._stopping.wait(max(0.0, at_s - self._clock.now_s())))

    def close(self) -> None:
        pass


class _KernelAlarm:
    def __init__(self, clock: RunClock, stopping: Event) -> None:
        self._clock, self._stopping = clock, stopping
        self._hub = gevent.get_hub()
        assert _LIBC is not None
        self._settime = _LIBC.timerfd_settime
        self._file = _LIBC.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._file < 0:
            raise OSError("the kernel gives no timer (timerfd_create)")
        self._watcher = self._hub.loop.io(self._file, _READABLE)
        stopping.rawlink(self._ring)

    def wait_until(self, at_s: float) -> bool:
        if self._stopping.is_set():
            return True
        self._set(self._clock.monotonic_ns(at_s))
        self._hub.wait(self._watcher)
        return bool(self._stopping.is_set())

    def close(self) -> None:
        self._stopping.unlink(self._ring)
        self._watcher.close()
        os.close(self._file)

    def _ring(self, _: Any) -> None:
        self._set(1)

    def _set(self, at_ns: int) -> None:
        # Zero would disarm it. Setting it anew also makes it no longer readable.
        when = _ITIMERSPEC.pack(0, 0, *divmod(max(1, at_ns), 1_000_000_000))
        if self._settime(self._file, _ABSOLUTE, when, None):
            raise OSError("the kernel's timer cannot be set (timerfd_settime)")
