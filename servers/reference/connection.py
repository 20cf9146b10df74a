"""One connection of a client: bytes in with the kernel's stamp, bytes out without waiting."""

from __future__ import annotations

import resource
import select
import socket
import struct
from collections.abc import Callable
from time import time
from typing import Any

BACKLOG = 4096
SO_TIMESTAMPING = 37
RX_SOFTWARE_REPORTED = 1 << 3 | 1 << 4
_TIMESPEC = struct.Struct("qq")
_ANCILLARY_BYTES = 128
_READ_BYTES = 64 * 1024


class Connection:
    """`send` takes bytes and never waits: what the kernel does not take now goes out later."""

    __slots__ = (
        "_blocked", "_epoll", "_pending", "_socket", "buffer", "closing", "fileno",
        "kernel_stamp", "received_s", "send", "stream",
    )  # fmt: skip

    def __init__(self, plain: socket.socket, epoll: select.epoll, blocked: Callable[[], None]):
        """`blocked` is told whenever the kernel's buffer is found full."""
        self._socket = plain
        self._epoll = epoll
        self._blocked = blocked
        self._pending = bytearray()
        self.fileno = plain.fileno()
        self.buffer = bytearray()
        self.received_s = 0.0
        self.kernel_stamp = False
        # The answer under way, the server's affair.
        self.stream: Any = None
        self.closing = False
        self.send: Callable[[bytes], None] = self._send

    def receive(self) -> bool:
        """Take what has come; false if the client is gone.

        `received_s` is when the first byte came since the buffer was empty (CLOCK_REALTIME), by
        the kernel if `kernel_stamp`.
        """
        try:
            data, ancillary, _, _ = self._socket.recvmsg(_READ_BYTES, _ANCILLARY_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if data and not self.buffer:
            self.kernel_stamp = bool(ancillary)
            if ancillary:
                seconds, nanoseconds = _TIMESPEC.unpack_from(ancillary[0][2])
                self.received_s = seconds + nanoseconds * 1e-9
            else:
                self.received_s = time()
        self.buffer += data
        return bool(data)

    def flush(self) -> bool:
        """Send what waits, as far as the kernel takes it; false if the client is gone."""
        try:
            del self._pending[: self._socket.send(self._pending)]
        except BlockingIOError:
            return True
        except OSError:
            return False
        if not self._pending:
            self.send = self._send
            self._epoll.modify(self.fileno, select.EPOLLIN)
        return True

    @property
    def flushed(self) -> bool:
        """Whether all that was sent has left for the kernel."""
        return not self._pending

    def close(self) -> None:
        """Close at once."""
        self._epoll.unregister(self.fileno)
        self._socket.close()
        # These two hold the connection through its own bound methods: a cycle.
        del self.send

    def _send(self, data: bytes) -> None:
        """Raises `OSError` if the client is gone."""
        try:
            taken = self._socket.send(data)
        except BlockingIOError:
            taken = 0
        if taken < len(data):
            self._pending += data[taken:]
            self.send = self._hold
            self._epoll.modify(self.fileno, select.EPOLLIN | select.EPOLLOUT)
            self._blocked()

    def _hold(self, data: bytes) -> None:
        self._pending += data
        self._blocked()


def listen(host: str, port: int) -> socket.socket:
    """A listening socket with room for thousands. Raises `OSError` if the address is taken."""
    _allow_many_files()
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Connections inherit both. That this one asks for stamps keeps the kernel stamping always.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, RX_SOFTWARE_REPORTED)
    listener.setblocking(False)
    listener.bind((host, port))
    listener.listen(BACKLOG)
    return listener


def _allow_many_files() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
