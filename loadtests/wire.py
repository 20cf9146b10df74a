"""What goes over the wire and what comes back: requests as bytes, answers as facts. Pure."""

import struct
import sys
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from loadtests.errors import StreamError
from measure.records import Clock, Status

# The layout of the kernel's stamp below is that of 64-bit Linux.
KERNEL_STAMPS = sys.platform == "linux" and struct.calcsize("l") == 8

# A connection that is refused, or accepted and dropped at once, costs neither side anything: a
# closed loop would try again thousands of times a second, fill the run with records that say one
# thing, and be in the way of the server that is coming up. Ten tries a second still notice its
# return as fast as a person would.
CONNECT_RETRY_S = 0.1

# Servers that know it write it into their logs, where a record can then be looked up.
REQUEST_ID_HEADER = "X-Request-Id"


@dataclass(frozen=True)
class Timeouts:
    """How long each part may take, in seconds; each overrun is an error of its own name."""

    connect_s: float = 10.0
    first_token_s: float = 300.0
    gap_s: float = 120.0
    total_s: float = 1800.0

    def overrun(
        self, now_s: float, sent_s: float | None, last_s: float, seen_content: bool
    ) -> StreamError | None:
        """The limit that a request sent then, last heard of then, has overrun by now."""
        if sent_s is None:
            return None
        if now_s - sent_s > self.total_s:
            return timed_out("total_timeout", "total", self.total_s)
        if not seen_content:
            if now_s - sent_s > self.first_token_s:
                return timed_out("first_token_timeout", "first token", self.first_token_s)
        elif now_s - last_s > self.gap_s:
            return timed_out("gap_timeout", "gap between reads", self.gap_s)
        return None


def timed_out(kind: str, what: str, limit_s: float) -> StreamError:
    """The error of a request one part of which took more than its limit."""
    return StreamError(kind, f"{what} took more than {limit_s:g} s", Status.TIMEOUT)


@dataclass(slots=True)
class Answer:
    """What came back for one request. Times are on the run's clock.

    `events[i]` arrived complete at `stamps_s[i]`. `body` holds the (start of the) body where it
    was not an event stream or the status was not 200. `error` is set if the answer broke off.
    """

    sent_s: float | None = None
    status: int | None = None
    events: list[bytes] = field(default_factory=list)
    stamps_s: list[float] = field(default_factory=list)
    body: bytes = b""
    content_type: str = ""
    done_s: float | None = None
    error: StreamError | None = None
    clock: Clock = Clock.USER
    received_bytes: int = 0


def split_url(url: str) -> tuple[str, str, int, str]:
    """Scheme, host, port and path prefix of a base URL. Raises `ValueError` if it is not one."""
    parts = urlsplit(url if "//" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{url!r} is not an http(s) URL")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return parts.scheme, parts.hostname, port, parts.path.rstrip("/")


def address(url: str) -> str:
    """The `host:port` of a server, out of any way to write its URL."""
    return url.split("://", 1)[-1].rstrip("/")


def usual_clock(url: str) -> Clock:
    """Who stamps what comes from there, if all is well: nobody but us can look into TLS."""
    return Clock.KERNEL if KERNEL_STAMPS and split_url(url)[0] == "http" else Clock.USER


def build_request(
    url: str, path: str, body: bytes | None, headers: dict[str, str] | None = None
) -> bytes:
    """The bytes of a POST (or of a GET, where there is no body) to `path` under the base URL."""
    _, host, port, prefix = split_url(url)
    name = f"[{host}]" if ":" in host else host
    lines = [
        f"{'GET' if body is None else 'POST'} {prefix}{path} HTTP/1.1",
        f"Host: {name}:{port}",
        "User-Agent: serving-lab",
        "Accept: text/event-stream, application/json",
        "Accept-Encoding: identity",
    ]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
