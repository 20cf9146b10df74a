"""What was really sent, and when: kept by the server, fetched with `GET /truth`.

The format, `serving-lab/truth/1`: one line of JSON, then two blocks of numbers, little-endian.

    schema           serving-lab/truth/1
    blocked          sends that found the connection's buffer full: the client did not read
    forgotten        oldest requests that are no longer kept
    request_id       a list, one entry a request in order of arrival: the X-Request-Id it came with
    received_s       when its first byte arrived: stamped by the kernel at packet arrival
    kernel_stamp     whether the kernel did stamp it
    tokens           output tokens that were sent
    outcome          ok, http_error, stream_error, disconnect (as planned), client_left, running
    chunks           how many content chunks were sent

    sent_s           float64, all requests' chunks in order: the time just before each was sent
    late_s           float32, likewise: how much later that was than it was due

Times are seconds since 1970 (CLOCK_REALTIME). Truth is what was sent, not what was planned: how
well the server kept to its plan is what `late_s` says.
"""

from __future__ import annotations

import json
from array import array
from collections import deque

SCHEMA = "serving-lab/truth/1"
MOST_REQUESTS = 1_000_000
MOST_CHUNKS = 20_000_000


class Sent:
    """One request's truth, filled as it is answered."""

    __slots__ = (
        "kernel_stamp",
        "late_s",
        "outcome",
        "received_s",
        "request_id",
        "sent_s",
        "tokens",
    )

    def __init__(self, request_id: str, received_s: float, kernel_stamp: bool, outcome: str):
        self.request_id = request_id
        self.received_s = received_s
        self.kernel_stamp = kernel_stamp
        self.outcome = outcome
        self.tokens = 0
        self.sent_s = array("d")
        self.late_s = array("f")


class Truth:
    """The newest requests, as many as fit into some hundred megabytes."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all. Requests that are being answered are not in it any more."""
        self.requests: deque[Sent] = deque()
        self.blocked = 0
        self.forgotten = 0
        self._chunks = 0

    def begin(self, sent: Sent) -> None:
        """A request has arrived."""
        self.requests.append(sent)

    def finished(self, sent: Sent) -> None:
        """A request is over; the oldest make room if there are too many."""
        self._chunks += len(sent.sent_s)
        while self.requests and (len(self.requests) > MOST_REQUESTS or self._chunks > MOST_CHUNKS):
            self._chunks -= len(self.requests.popleft().sent_s)
            self.forgotten += 1

    def encode(self) -> bytes:
        """The format above."""
        requests = self.requests
        head = {
            "schema": SCHEMA,
            "blocked": self.blocked,
            "forgotten": self.forgotten,
            "request_id": [one.request_id for one in requests],
            "received_s": [one.received_s for one in requests],
            "kernel_stamp": [one.kernel_stamp for one in requests],
            "tokens": [one.tokens for one in requests],
            "outcome": [one.outcome for one in requests],
            "chunks": [len(one.sent_s) for one in requests],
        }
        line = json.dumps(head, separators=(",", ":")).encode()
        sent_s = b"".join([one.sent_s for one in requests])
        late_s = b"".join([one.late_s for one in requests])
        return b"".join((line, b"\n", sent_s, late_s))
