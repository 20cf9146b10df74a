"""What the reference server really sent to a tool: the figures its own are held against."""

from __future__ import annotations

import urllib.request
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.contract import Figures, Gap, Quantile
from lab.calibrate_truth import decode

Floats = npt.NDArray[np.float64]
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Truth:
    """Whole answers: when each request came, when its chunks went out, how late that was.

    The chunks of answer i are `sent_s[offset[i]:offset[i + 1]]`. `cut` counts requests whose answer
    the client did not wait for; `tokens` are all that were sent since the first request came, of
    those too; `blocked` counts sends for which the client's buffer had no room.
    """

    received_s: Floats
    offset: npt.NDArray[np.int64]
    sent_s: Floats
    late_s: Floats
    cut: int
    tokens: int
    blocked: int

    @property
    def count(self) -> int:
        """How many answers."""
        return int(self.received_s.size)

    @property
    def first_s(self) -> Floats:
        """When each answer's first chunk went out."""
        return self.sent_s[self.offset[:-1]]

    @property
    def last_s(self) -> Floats:
        """When each answer's last chunk went out."""
        return self.sent_s[self.offset[1:] - 1]

    @property
    def chunks(self) -> npt.NDArray[np.int64]:
        """Chunks of each answer; the reference server sends one token in each here."""
        return np.diff(self.offset)


def reset(url: str) -> None:
    """Have the server forget what it sent."""
    request = urllib.request.Request(f"{url}/truth/reset", data=b"", method="POST")
    with urllib.request.urlopen(request, timeout=_TIMEOUT_S):
        pass


def fetch(url: str) -> bytes:
    """What it sent since, as it says it."""
    with urllib.request.urlopen(f"{url}/truth", timeout=_TIMEOUT_S) as answer:
        return bytes(answer.read())


def whole_answers(
    raw: bytes,
    output_tokens: int,
    *,
    counted: frozenset[str] | None = None,
    warmup: int = 0,
) -> Truth:
    """The answers in what `GET /truth` gave that went out to their end.

    Shorter ones are left out: with them tools try, before the load, whether the server answers.
    So are the first `warmup` to come, and those that are not `counted`, if the tool says which it
    did. Where it does not say, its distribution is compared with that of all. Raises `LabError` if
    `raw` is no truth.
    """
    sent = decode(raw)
    chunks = np.diff(sent.offset)
    ended_well = np.asarray(sent.outcome) == "ok"
    whole = ended_well & (chunks == output_tokens)
    if counted is not None:
        whole &= np.asarray([one in counted for one in sent.request_id], dtype=bool)
    # The server keeps requests in the order in which they came.
    whole &= np.cumsum(whole) > warmup
    kept = np.repeat(whole, chunks)
    received_s = sent.received_s[whole]
    begin_s = received_s.min() if received_s.size else np.inf
    return Truth(
        received_s=received_s,
        offset=np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(chunks[whole])]),
        sent_s=sent.sent_s[kept],
        late_s=sent.late_s[kept],
        cut=int(np.sum(~ended_well)),
        tokens=int(np.sum(sent.sent_s >= begin_s)),
        blocked=sent.blocked,
    )


def figures(truth: Truth, gap: Gap, quantile: Quantile) -> Figures:
    """The true figures, under a tool's own definitions. Raises `ValueError` without answers."""
    if truth.count == 0:
        raise ValueError("the server gave no answer to the end")
    ttft_s = truth.first_s - truth.received_s
    if gap == "chunk gap":
        inner = np.ones(truth.sent_s.size - 1, dtype=bool)
        inner[truth.offset[1:-1] - 1] = False
        gap_s = np.diff(truth.sent_s)[inner]
    else:
        # ITL and TPOT of one-token chunks are the same: the mean gap of a request.
        several = truth.chunks > 1
        gap_s = (truth.last_s - truth.first_s)[several] / (truth.chunks[several] - 1)
    ttft = np.percentile(ttft_s, [50, 99], method=quantile)
    gaps = np.percentile(gap_s, [50, 99], method=quantile)
    return Figures(truth.count, float(ttft[0]), float(ttft[1]), float(gaps[0]), float(gaps[1]))


def in_flight(truth: Truth) -> tuple[int, float]:
    """Answers under way at once: the most, and the mean over the middle half of the load."""
    times_s = np.concatenate([truth.received_s, truth.last_s])
    steps = np.concatenate([np.ones(truth.count), -np.ones(truth.count)])
    order = np.argsort(times_s, kind="stable")
    times_s, level = times_s[order], np.cumsum(steps[order])
    begin_s, end_s = np.quantile([times_s[0], times_s[-1]], [0.25, 0.75])
    inside = np.clip(times_s, begin_s, end_s)
    area = float(np.sum(level[:-1] * np.diff(inside)))
    return int(level.max()), area / (end_s - begin_s) if end_s > begin_s else 0.0
