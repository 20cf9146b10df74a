"""The smallest correct HTTP/1.1 response parser that a load test needs. Pure: bytes in, bytes out.

It sits in the hot path, once a socket read, so the usual case (a whole chunk in one read) takes a
find, an int and a slice. RFC 9112 is the source; what is refused is refused by name.
"""

from enum import Enum, auto

from loadtests.errors import StreamError

MAX_HEAD_BYTES = 64 * 1024
MAX_CHUNK_LINE_BYTES = 1024
_HEX = frozenset(b"0123456789abcdefABCDEF")
_FEW_DIGITS = 8

# What follows the length in the first frame of every HTTP/2 server (RFC 9113, 3.4 and 4.1): type
# SETTINGS, no flags, stream 0. A gRPC server sends it without having understood the request.
_HTTP2_SETTINGS = b"\x04\x00\x00\x00\x00\x00"


class _State(Enum):
    HEAD = auto()
    LENGTH = auto()
    CHUNK_SIZE = auto()
    CHUNK_DATA = auto()
    CHUNK_END = auto()
    TRAILERS = auto()
    UNTIL_CLOSE = auto()
    DONE = auto()


class ResponseParser:
    """Parses one response, fed with whatever each socket read returned.

    After the head, `status` and `headers` (lower-case names) are set; after the body `done` is
    true and `keep_alive` says whether the connection may carry another request. `feed` raises
    `StreamError` (`bad_http`, `content_encoding`) and is not to be fed again after that. Body
    that stands before a mistake in the same read is returned: `mistake` then holds the error.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.keep_alive = True
        self.done = False
        self.mistake: StreamError | None = None
        self._state = _State.HEAD
        self._rest = b""
        self._left = 0

    def feed(self, data: bytes) -> bytes:
        """Take the bytes of one read; return the bytes of body that they held."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if self._state is _State.HEAD:
            data = self._head(data)
            if self._state is _State.HEAD:
                return b""
        if self._state is _State.UNTIL_CLOSE:
            return data
        if self._state is _State.LENGTH:
            return self._length(data)
        if self._state is _State.CHUNK_SIZE:
            # The usual read of a stream: one chunk, whole, and nothing else.
            end = data.find(b"\r\n")
            size = data[:end]
            if (
                0 < end <= _FEW_DIGITS
                and data.endswith(b"\r\n")
                and _HEX.issuperset(size)
                # A chunk of no bytes is the end of the answer: that is told below.
                and 0 < int(size, 16) == len(data) - end - 4
            ):
                return data[end + 2 : -2]
        return self._chunked(data)

    def eof(self) -> None:
        """The server closed. Right only where the close is what ends the body."""
        if self._state is _State.UNTIL_CLOSE:
            self._finish()
        elif not self.done:
            raise StreamError("disconnected", "the server closed before the end of its answer")

    def _head(self, data: bytes) -> bytes:
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                if len(data) > MAX_HEAD_BYTES:
                    raise StreamError("bad_http", f"headers of more than {MAX_HEAD_BYTES} bytes")
                if data[3:9] == _HTTP2_SETTINGS:
                    raise StreamError("http2", "the server speaks HTTP/2 without being asked")
                if not data.startswith(b"HTTP/1."[: len(data)]) and not _maybe_http2(data):
                    raise StreamError("bad_http", f"not HTTP/1.x: {data[:40]!r}")
                self._rest = data
                return b""
            if end > MAX_HEAD_BYTES:
                raise StreamError("bad_http", f"headers of more than {MAX_HEAD_BYTES} bytes")
            self._parse_head(data[:end])
            data = data[end + 4 :]
            # 1xx answers (100 Continue, 103 Early Hints) come before the real one.
            if self.status >= 200:
                break
            if self.status == 101:
                raise StreamError("bad_http", "the server switched protocols unasked")
        self._choose_framing()
        return data

    def _parse_head(self, head: bytes) -> None:
        first, *lines = head.decode("latin-1").split("\r\n")
        version, _, rest = first.partition(" ")
        code = rest[:3]
        if version not in ("HTTP/1.1", "HTTP/1.0") or not (code.isascii() and code.isdigit()):
            raise StreamError("bad_http", f"not an HTTP/1.x answer: {first[:60]!r}")
        self.status = int(code)
        if self.status < 100:
            raise StreamError("bad_http", f"no such status: {first[:60]!r}")
        headers: dict[str, str] = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise StreamError("bad_http", f"malformed header line {line[:60]!r}")
            name, value = name.lower(), value.strip(" \t")
            if name in headers and name == "content-length" and headers[name] != value:
                raise StreamError("bad_http", "two different content-lengths")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        self.headers = headers
        connection = headers.get("connection", "").lower()
        self.keep_alive = "keep-alive" in connection or (
            version == "HTTP/1.1" and "close" not in connection
        )

    def _choose_framing(self) -> None:
        encoding = self.headers.get("content-encoding", "identity").lower()
        if encoding not in ("", "identity"):
            raise StreamError(
                "content_encoding",
                f"the answer is {encoding}-encoded though identity was asked for; "
                "a compressed stream has no token times",
            )
        transfer = self.headers.get("transfer-encoding", "").lower()
        length = self.headers.get("content-length")
        if self.status in (204, 304):
            self._finish()
        elif transfer:
            if transfer != "chunked":
                raise StreamError("bad_http", f"transfer-encoding {transfer!r} is not supported")
            self._state = _State.CHUNK_SIZE
        elif length is not None:
            if not (length.isascii() and length.isdigit()):
                raise StreamError("bad_http", f"content-length {length[:40]!r} is not a number")
            self._left = int(length)
            self._state = _State.LENGTH
            if self._left == 0:
                self._finish()
        else:
            self.keep_alive = False
            self._state = _State.UNTIL_CLOSE

    def _finish(self) -> None:
        self._state = _State.DONE
        self.done = True

    def _length(self, data: bytes) -> bytes:
        body = data[: self._left]
        if len(data) > self._left:
            self.keep_alive = False
        self._left -= len(body)
        if self._left == 0:
            self._finish()
        return body

    def _chunked(self, data: bytes) -> bytes:
        at, out, size = 0, [], len(data)
        while at < size or self._state is _State.DONE:
            if self._state is _State.CHUNK_DATA:
                piece = data[at : at + self._left]
                out.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if self._left:
                    break
                self._state = _State.CHUNK_END
            elif self._state is _State.DONE:
                # Bytes after the end: nobody asked for them, the connection is not to be trusted.
                if at < size:
                    self.keep_alive = False
                break
            else:
                end = data.find(b"\r\n", at)
                # Without an end yet, the last byte may be half of it.
                length = end - at if end >= 0 else size - at - 1
                if length > MAX_CHUNK_LINE_BYTES:
                    self.mistake = StreamError("bad_http", "a chunk line without end")
                    break
                if end < 0:
                    self._rest = data[at:]
                    break
                try:
                    self._line(data[at:end])
                except StreamError as error:
                    self.mistake = error
                    break
                at = end + 2
        if self.mistake is not None and not out:
            raise self.mistake
        return out[0] if len(out) == 1 else b"".join(out)

    def _line(self, line: bytes) -> None:
        if self._state is _State.CHUNK_END:
            if line:
                raise StreamError("bad_http", f"a chunk is longer than it said: {line[:40]!r}")
            self._state = _State.CHUNK_SIZE
        elif self._state is _State.CHUNK_SIZE:
            digits = line.split(b";", 1)[0].strip()
            try:
                # int() alone would take signs and underscores.
                self._left = int(digits, 16) if digits.isalnum() else -1
            except ValueError:
                self._left = -1
            if self._left < 0:
                raise StreamError("bad_http", f"chunk size {line[:40]!r} is not hexadecimal")
            self._state = _State.CHUNK_DATA if self._left else _State.TRAILERS
        elif not line:
            self._finish()


def _maybe_http2(data: bytes) -> bool:
    """Whether so few bytes may become the head of an HTTP/2 frame."""
    return len(data) < 9 and data.startswith(b"\x00") and _HTTP2_SETTINGS.startswith(data[3:])
