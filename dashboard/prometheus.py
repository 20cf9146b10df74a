"""Asking Prometheus. Every failure comes back as a `Failure` that a page can show.

`prometheus-api-client` has no default timeout and raises its own mixture of errors, so the few
calls the pages need are made with httpx directly.

A page asks many things at a time. One that Prometheus did not answer in time is remembered for a
moment, and the others are not asked: a page waits for a slow Prometheus once, not once a query.
"""

import json
import math
import os
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import httpx

from dashboard.promql import Span
from dashboard.words import t
from servers import instances

TIMEOUT_S = 2.5
HOLD_S = 5.0
"""How long a Prometheus that did not answer in time is left alone."""
_HALF_A_LETTER = re.compile(rb"\\u[dD][89a-fA-F]")
_YEAR_9999_S = 253_402_000_000.0
URL_VARIABLE = "SERVING_LAB_PROMETHEUS_URL"


@dataclass(frozen=True)
class Series:
    """One line: its labels, wall-clock times and values (NaN kept as NaN)."""

    labels: Mapping[str, str]
    times_s: tuple[float, ...]
    values: tuple[float, ...]

    @property
    def last(self) -> float:
        """The newest value; NaN for an empty series."""
        return self.values[-1] if self.values else math.nan


@dataclass(frozen=True)
class Failure:
    """Why there is no answer.

    `unreachable`: nothing listens there. `starting`: it reads its data back. `timeout`: it is too
    slow. `refused`: it did not like the question. `unreadable`: something else answers there.
    `said` is a text, or what makes one: a failure is found in a thread that knows no reader, and
    one that is remembered has readers of several languages.
    """

    kind: Literal["unreachable", "starting", "timeout", "refused", "unreadable"]
    said: str | Callable[[], str]

    @property
    def message(self) -> str:
        """Why, in the language of whoever reads it now."""
        return self.said if isinstance(self.said, str) else self.said()


Answer = tuple[Series, ...] | Failure


def address() -> tuple[str, str]:
    """Where Prometheus is, and who says so: the environment or the lab's running instance.

    Nobody says so where neither does, and both are empty. What answers at Prometheus's usual port
    then may be another lab's: its numbers would be taken for this one's.
    """
    if url := os.environ.get(URL_VARIABLE):
        return url.rstrip("/"), t("the variable {name}", name=URL_VARIABLE)
    for instance in instances.all_instances():
        if instance.name == "prometheus" and instances.alive(instance):
            return instance.base_url.rstrip("/"), t(
                "the running instance {name}", name="prometheus"
            )
    return "", ""


def query_range(url: str, expression: str, span: Span) -> Answer:
    """The expression's values at each step of the span."""
    params = {
        "query": expression,
        "start": f"{span.start_s:.0f}",
        "end": f"{span.end_s:.0f}",
        "step": str(span.step_s),
    }
    return _ask(url, "query_range", params)


def query(url: str, expression: str, at_s: float | None = None) -> Answer:
    """The expression's values at one moment (now)."""
    params = {"query": expression} | ({"time": f"{at_s:.3f}"} if at_s is not None else {})
    return _ask(url, "query", params)


def api(url: str, call: str, params: Mapping[str, str] | None = None) -> Any | Failure:
    """The `data` of another call of the HTTP API (`targets`, `rules`, `status/buildinfo`)."""
    return _fetch(url, call, params or {}, "GET")


@dataclass(frozen=True)
class _Held:
    failure: Failure
    until_s: float


_held: dict[str, _Held] = {}
_lock = threading.Lock()


def _left_alone(url: str) -> Failure | None:
    with _lock:
        held = _held.get(url)
        return held.failure if held and time.monotonic() < held.until_s else None


def forget() -> None:
    """Ask also those again that were too slow a moment ago."""
    with _lock:
        _held.clear()


@cache
def _client() -> httpx.Client:
    """One for the process: each new one reads all certificates, which costs more than a query."""
    # trust_env=False: a proxy of the environment has no business between this page and a
    # Prometheus on this machine.
    return httpx.Client(timeout=TIMEOUT_S, trust_env=False)


def _ask(url: str, call: str, params: Mapping[str, str]) -> Answer:
    data = _fetch(url, call, params, "POST")
    return data if isinstance(data, Failure) else series(data, url)


def _fetch(
    url: str, call: str, params: Mapping[str, str], method: Literal["GET", "POST"]
) -> Any | Failure:
    if not url:
        return Failure("unreachable", lambda: t("No Prometheus of this lab runs."))
    if held := _left_alone(url):
        return held
    sent = {"params": params} if method == "GET" else {"data": params}
    try:
        answer = _client().request(method, f"{url}/api/v1/{call}", **sent)  # type: ignore[arg-type]
    except httpx.TimeoutException:
        failure = Failure(
            "timeout",
            lambda: t(
                "Prometheus at {url} did not answer within {seconds} s.",
                url=url,
                seconds=f"{TIMEOUT_S:g}",
            ),
        )
        with _lock:
            _held[url] = _Held(failure, time.monotonic() + HOLD_S)
        return failure
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        why = str(error)
        return Failure(
            "unreachable",
            lambda: t("Nothing answers as Prometheus at {url} ({error}).", url=url, error=why),
        )
    return read(answer.status_code, answer.content, url)


def read(status: int, body: bytes, url: str) -> Any | Failure:
    """The `data` of an HTTP answer of the API, or why there is none. Pure."""
    if status == 503:
        return Failure(
            "starting",
            lambda: t(
                "Prometheus at {url} is starting or stopping: it answers no query yet.", url=url
            ),
        )
    try:
        content = httpx.Response(200, content=body).json()
        if _HALF_A_LETTER.search(body):
            # JSON can spell half a letter, which no browser is sent.
            whole = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
            content = json.loads(whole)
        if content.get("status") == "error":
            refusal = str(content.get("error"))
            return Failure(
                "refused", lambda: t("Prometheus refused the query: {error}", error=refusal)
            )
        if status != 200:
            raise ValueError(f"HTTP {status}")
        return content["data"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return _strange(url, f"HTTP {status}, {error}")


def series(data: Any, url: str) -> Answer:
    """The `data` of a query as series; a failure if it is none. Pure."""
    try:
        return tuple(_series(one) for one in data["result"])
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        return _strange(url, str(error))


def _strange(url: str, why: str) -> Failure:
    return Failure(
        "unreadable",
        lambda: t("What answers at {url} is not Prometheus's query API ({why}).", url=url, why=why),
    )


def _series(result: dict[str, Any]) -> Series:
    points = result["values"] if "values" in result else [result["value"]]
    times_s = tuple(float(time) for time, _ in points)
    if times_s and not (min(times_s) >= 0 and max(times_s) <= _YEAR_9999_S):
        raise ValueError("a time that no clock shows")
    return Series(
        {str(key): str(value) for key, value in result["metric"].items()},
        times_s,
        tuple(float(value) for _, value in points),
    )
