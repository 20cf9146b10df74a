"""Server-sent events out of a byte stream. Pure.

Source: the WHATWG HTML standard, "Server-sent events". Only `data` fields matter to a load test:
`event`, `id`, `retry` and comments are dropped. Lines end in LF or CRLF (a lone CR, which the
standard also allows, is used by no server of language models and is not taken as an end).
"""

from loadtests.errors import StreamError

MAX_EVENT_BYTES = 16 * 1024 * 1024


class EventSplitter:
    """Gives the payload of each event in the call in which its blank line arrives.

    Payloads stay bytes, so a character that is split over two reads is whole again.
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Take some bytes of the body; return the payloads of the events they completed."""
        if self._rest:
            data = self._rest + data
        elif (
            # The usual read: one event, whole, of one line.
            data.startswith(b"data: ")
            and data.find(b"\n") == len(data) - 2
            and data.endswith(b"\n")
            and b"\r" not in data
        ):
            return [data[6:-2]]
        if b"\r" in data:
            # A CR at the very end may be half of a CRLF: it waits for its other half.
            held = b"\r" if data.endswith(b"\r") else b""
            data = data[: len(data) - len(held)].replace(b"\r\n", b"\n") + held
        head, blank, self._rest = data.rpartition(b"\n\n")
        if not blank:
            if len(data) > MAX_EVENT_BYTES:
                raise StreamError("bad_stream", f"an event of more than {MAX_EVENT_BYTES} bytes")
            return []
        events = []
        for block in head.split(b"\n\n"):
            if block.startswith(b"data: ") and b"\n" not in block:
                events.append(block[6:])
            else:
                payload = _payload(block)
                if payload is not None:
                    events.append(payload)
        return events

    def flush(self) -> list[bytes]:
        """At the end of the body: the last event, if its blank line was left out."""
        rest, self._rest = self._rest.removesuffix(b"\r"), b""
        payload = _payload(rest)
        return [] if payload is None else [payload]


def _payload(block: bytes) -> bytes | None:
    lines = []
    for line in block.split(b"\n"):
        if line.startswith(b"data:"):
            lines.append(line[6:] if line.startswith(b"data: ") else line[5:])
        elif line == b"data":
            lines.append(b"")
    return b"\n".join(lines) if lines else None
