"""What a request will be answered with, and when: drawn before its first token. Pure."""

from __future__ import annotations

import random
from dataclasses import dataclass
from itertools import accumulate

OK = "ok"
HTTP_ERROR = "http_error"
STREAM_ERROR = "stream_error"
DISCONNECT = "disconnect"
# Not planned: it happens to us.
CLIENT_LEFT = "client_left"
RUNNING = "running"


@dataclass(frozen=True)
class Settings:
    """The knobs of one reference server, in their own units (`knobs.py` says what they mean)."""

    ttft_ms: float
    ttft_tail: float
    gap_ms: float
    jitter: float
    tokens_per_chunk: int
    role_chunk: str
    http_error_share: float
    stream_error_share: float
    disconnect_share: float
    stall_after_s: float
    stall_for_s: float
    seed: int


@dataclass(frozen=True, slots=True)
class Plan:
    """How one request ends and when its chunks are due, in seconds from its arrival.

    There are `chunks` chunks with content. `offsets_s` has one entry for each, and one more for
    the failure where it is planned.
    """

    outcome: str
    chunks: int
    offsets_s: list[float]


def plan(settings: Settings, number: int, tokens: int) -> Plan:
    """The plan of request `number` (from 0, in order of arrival) for an answer of `tokens`."""
    chance = random.Random(f"{settings.seed}:{number}")
    fate = chance.random()
    ttft_s = settings.ttft_ms * 1e-3 * chance.lognormvariate(0.0, settings.ttft_tail)
    chunks = -(-tokens // settings.tokens_per_chunk)
    outcome = _outcome(settings, fate)
    if outcome == HTTP_ERROR:
        return Plan(outcome, 0, [])
    events = chunks
    if outcome != OK:
        # After the first chunk and before the last, where there are so many.
        chunks = chance.randint(1, chunks - 1) if chunks > 1 else 0
        events = chunks + 1
    gaps_s = _gaps_s(settings, chance, events - 1, tokens)
    return Plan(outcome, chunks, list(accumulate(gaps_s, initial=ttft_s)))


def _outcome(settings: Settings, fate: float) -> str:
    for outcome, share in (
        (HTTP_ERROR, settings.http_error_share),
        (STREAM_ERROR, settings.stream_error_share),
        (DISCONNECT, settings.disconnect_share),
    ):
        if fate < share:
            return outcome
        fate -= share
    return OK


def _gaps_s(settings: Settings, chance: random.Random, count: int, tokens: int) -> list[float]:
    """Time before each chunk but the first: a gap a token of it. The last may hold fewer."""
    per_chunk = settings.tokens_per_chunk
    gap_s = settings.gap_ms * 1e-3
    gaps_s = [gap_s * min(per_chunk, tokens - per_chunk * (i + 1)) for i in range(count)]
    if settings.jitter:
        low, width = 1.0 - settings.jitter, 2.0 * settings.jitter
        gaps_s = [gap * (low + width * chance.random()) for gap in gaps_s]
    return gaps_s
