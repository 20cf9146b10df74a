"""An answer under way: what the loop needs of it at each chunk."""

from __future__ import annotations

from servers.reference.asks import Ask
from servers.reference.connection import Connection
from servers.reference.frames import Wire
from servers.reference.plan import Plan
from servers.reference.truth import Sent


class Stream:
    """`at` chunks are sent; chunk i is due at `base_s + offsets_s[i]`."""

    __slots__ = (
        "at", "base_s", "chunks", "connection", "ended", "keep_alive", "offsets_s", "outcome",
        "sent", "tokens", "wire",
    )  # fmt: skip

    def __init__(
        self, connection: Connection, ask: Ask, answer: Plan, wire: Wire, sent: Sent,
        base_s: float, keep_alive: bool,
    ) -> None:  # fmt: skip
        self.connection = connection
        self.wire = wire
        self.sent = sent
        self.base_s = base_s
        self.outcome = answer.outcome
        self.offsets_s = answer.offsets_s
        self.chunks = answer.chunks
        self.tokens = ask.tokens
        self.keep_alive = keep_alive
        self.at = 0
        self.ended = False
