"""The part of HTTP/1.1 that a request needs. Pure: bytes in, a `Request` out."""

from __future__ import annotations

from dataclasses import dataclass

MAX_HEAD_BYTES = 64 * 1024
MAX_BODY_BYTES = 64 * 1024 * 1024


class BadRequest(Exception):
    """What came is no request that can be read: an HTTP status and what to say."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """One request, and how many bytes it took. `headers` have lower-case names."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    size: int

    @property
    def keep_alive(self) -> bool:
        """Whether the client wants to use the connection again."""
        return self.headers.get("connection", "").lower() != "close"


def read_request(data: bytes | bytearray) -> Request | None:
    """The request at the start of `data`, or `None` while it is not whole.

    Raises `BadRequest`; nothing more can be read from that connection then.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > MAX_HEAD_BYTES:
            raise BadRequest(431, f"headers of more than {MAX_HEAD_BYTES} bytes")
        return None
    first, *lines = data[:end].decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest(400, "not an HTTP/1.1 request")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    if "transfer-encoding" in headers:
        raise BadRequest(411, "give a Content-Length: chunked requests are not taken")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise BadRequest(400, "Content-Length is not a number")
    if int(length) > MAX_BODY_BYTES:
        raise BadRequest(413, f"a body of more than {MAX_BODY_BYTES} bytes")
    begin, size = end + 4, end + 4 + int(length)
    if len(data) < size:
        return None
    path = words[1].partition("?")[0]
    return Request(words[0], path, headers, bytes(data[begin:size]), size)
