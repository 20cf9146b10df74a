"""Warming an instance up: real requests, one after another, until their latency has settled.

A server that answers its health check has not yet computed an answer: memory is not touched,
kernels are not compiled, pools and connections not filled. The first requests pay for it.
"""

from __future__ import annotations

import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from statistics import median

from servers import probe, readiness
from servers.contract import Say, WarmRequest
from servers.errors import ServerError
from servers.instances import Instance, WarmKind, WarmUp

_WINDOW = 3
_TOLERANCE = 0.2
# Below this a difference is the machine's scheduling, not the server's.
_TOLERANCE_S = 0.002
_MOST_ROUNDS = 30
_MOST_S = 30.0
# The first request of a cold engine may compile.
_ANSWER_WITHIN_S = 180.0
_SAY_EVERY_S = 3.0
_SHOWN = 500


def settled(latencies_s: Sequence[float]) -> bool:
    """Whether the latencies of equal requests, sent one after another, no longer change.

    They have settled when the medians of the last three and of the three before them are
    within 20% (or 2 ms) of each other. It is the steady state of Georges, Buytaert and
    Eeckhout, "Statistically rigorous Java performance evaluation" (OOPSLA 2007), judged by
    medians instead of a coefficient of variation, so that one stall of a busy machine neither
    hides it nor feigns it. A later, rarer stage (a compiler that waits for the thousandth call)
    cannot be told from the end.
    """
    if len(latencies_s) < 2 * _WINDOW:
        return False
    last = median(latencies_s[-_WINDOW:])
    before = median(latencies_s[-2 * _WINDOW : -_WINDOW])
    return abs(last - before) <= max(_TOLERANCE * before, _TOLERANCE_S)


def warm_up(instance: Instance, requests: Sequence[WarmRequest], say: Say) -> WarmUp:
    """Send the requests in turn until the latency of each kind has settled, or a cap ends it.

    The cap is 30 rounds, or 30 s after the first round (which may have to compile). Raises
    `ServerError`, with the status and the body, if one is not answered or answered by an error.
    """
    name = instance.name
    say(f"{name}: warming up")
    latencies_s: list[list[float]] = [[] for _ in requests]
    began = first_round_done = time.monotonic()
    next_words = began + _SAY_EVERY_S
    done = False
    while not done and len(latencies_s[0]) < _MOST_ROUNDS:
        for request, so_far in zip(requests, latencies_s, strict=True):
            so_far.append(_ask(instance, request))
            if time.monotonic() >= next_words:
                sent = sum(map(len, latencies_s))
                say(f"{name}: warming up, {sent} requests: {request.path} {_ms(so_far[-1])}")
                next_words = time.monotonic() + _SAY_EVERY_S
        if len(latencies_s[0]) == 1:
            first_round_done = time.monotonic()
        done = all(settled(so_far) for so_far in latencies_s)
        if time.monotonic() - first_round_done > _MOST_S:
            break
    report = WarmUp(
        requests=sum(map(len, latencies_s)),
        took_s=time.monotonic() - began,
        settled=done,
        kinds=tuple(
            WarmKind(request.path, tuple(so_far))
            for request, so_far in zip(requests, latencies_s, strict=True)
        ),
    )
    say(f"{name}: {in_words(report)}")
    return report


def in_words(report: WarmUp) -> str:
    """The warm-up in a line: `warm after 12 requests in 2.1 s: /classify 41 ms, then 3.2 ms`."""
    kinds = "; ".join(
        f"{kind.path} {_ms(kind.first_s)}, then {_ms(kind.last_s)}" for kind in report.kinds
    )
    how = "warm after" if report.settled else "latency had not settled after"
    return f"{how} {report.requests} requests in {report.took_s:.1f} s: {kinds}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"


def _ask(instance: Instance, request: WarmRequest) -> float:
    """Seconds until the request was answered whole."""
    url = f"{instance.base_url}{request.path}"
    asked = urllib.request.Request(
        url,
        data=json.dumps(dict(request.body)).encode(),
        headers={"Content-Type": "application/json"},
    )
    began = time.monotonic()
    try:
        with probe.OPENER.open(asked, timeout=_ANSWER_WITHIN_S) as response:
            answer = response.read()
    except urllib.error.HTTPError as error:
        with error:
            body = error.read()
        raise _failed(instance, request, f"status {error.code}: {_shown(body)}") from error
    except (OSError, http.client.HTTPException) as error:
        raise _failed(instance, request, f"no whole answer ({error!r})") from error
    took_s = time.monotonic() - began
    if _is_error(answer):
        raise _failed(instance, request, f"status 200 and an error: {_shown(answer)}")
    return took_s


def _is_error(answer: bytes) -> bool:
    """Whether a whole answer, JSON or a stream of events, says that it failed."""
    for line in answer.splitlines():
        try:
            said = json.loads(line.removeprefix(b"data:"))
        except ValueError:
            continue
        if isinstance(said, dict) and said.get("error"):
            return True
    return False


def _shown(body: bytes) -> str:
    text = " ".join(body.decode("utf-8", errors="replace").split())
    return text[:_SHOWN] or "(an empty body)"


def _failed(instance: Instance, request: WarmRequest, what: str) -> ServerError:
    return ServerError(
        readiness.failed(instance, f"answered the warm-up request POST {request.path} with {what}")
    )
