"""Sockets to a server: connected, with TLS where the URL says so, stamped by the kernel if it can.

Linux stamps what arrives (`SO_TIMESTAMPING`, software receive) and hands the stamp out with the
data, as ancillary data of `recvmsg`: a `timespec` of CLOCK_REALTIME.
"""

import contextlib
import errno
import socket
import ssl
import struct
from collections.abc import Iterator
from functools import lru_cache

import gevent
from gevent import monkey

from loadtests.errors import StreamError
from loadtests.wire import KERNEL_STAMPS, timed_out

# The size of the ancillary data, and how a stamp in it is unpacked to seconds and nanoseconds.
ANCILLARY_BYTES = 64 + 48
TIMESPEC = struct.Struct("qq")

_SO_TIMESTAMPING = 37
_RX_SOFTWARE = 1 << 3
_REPORT_SOFTWARE = 1 << 4
# The socket class under gevent's: its calls return at once instead of yielding to the loop.
_PlainSocket = monkey.get_original("socket", "socket")


def dial(scheme: str, host: str, port: int, limit_s: float) -> socket.socket:
    """A connected socket of gevent's, which speaks TLS for https.

    Raises:
        StreamError: `connect_refused`, `connect_timeout`, `tls_error` or `connect_error`.
    """
    try:
        with gevent.Timeout(limit_s, TimeoutError("connect")):
            plain = socket.create_connection((host, port))
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if scheme == "https":
                return _tls_context().wrap_socket(plain, server_hostname=host)
            return plain
    except TimeoutError:
        raise timed_out("connect_timeout", "connect", limit_s) from None
    except ssl.SSLError as error:
        raise StreamError("tls_error", str(error)) from None
    except OSError as error:
        kind = "connect_refused" if error.errno == errno.ECONNREFUSED else "connect_error"
        raise StreamError(kind, f"{host}:{port}: {error.strerror or error}") from None


def stamped(connected: socket.socket) -> socket.socket:
    """The same connection as a socket that never waits, whose reads carry stamps if they can."""
    if KERNEL_STAMPS:
        connected.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _RX_SOFTWARE | _REPORT_SOFTWARE)
    plain: socket.socket = _PlainSocket(fileno=connected.detach())
    plain.setblocking(False)
    return plain


def is_stale(kept: socket.socket) -> bool:
    """Whether a kept connection was closed, or holds bytes that nobody asked for."""
    try:
        return kept.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) is not None
    except BlockingIOError:
        return False
    except OSError:
        return True


@contextlib.contextmanager
def kernel_stamps_kept_on() -> Iterator[None]:
    """Keep receive stamping on in the kernel: it wakes up lazily with the first socket that asks.

    Without this the first packets of a run could come without a stamp.
    """
    if not KERNEL_STAMPS:
        yield
        return
    with _PlainSocket(socket.AF_INET, socket.SOCK_DGRAM) as guard:
        guard.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _RX_SOFTWARE | _REPORT_SOFTWARE)
        yield


@lru_cache
def _tls_context() -> ssl.SSLContext:
    return ssl.create_default_context()
