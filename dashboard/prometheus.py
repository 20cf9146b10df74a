"""Asking Prometheus. Every failure comes back as a `Failure` that a page can show.

`prometheus-api-client` has no default timeout and raises its own mixture of errors, so the two
calls the pages need are made with httpx directly.
"""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import httpx

from dashboard.promql import Span
from servers import instances

TIMEOUT_S = 5.0
DEFAULT_URL = "http://127.0.0.1:9090"
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
    """Why there is no answer. `unreachable` means that nothing listens there."""

    kind: Literal["unreachable", "timeout", "refused", "unreadable"]
    message: str


Answer = tuple[Series, ...] | Failure


def address() -> tuple[str, str]:
    """Where Prometheus should be, and who says so: environment, running instance, or default."""
    if url := os.environ.get(URL_VARIABLE):
        return url.rstrip("/"), f"the variable {URL_VARIABLE}"
    for instance in instances.all_instances():
        if instance.name == "prometheus" and instances.alive(instance):
            return instance.base_url.rstrip("/"), "the running instance prometheus"
    return DEFAULT_URL, "the default"


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


@cache
def _client() -> httpx.Client:
    """One for the process: each new one reads all certificates, which costs more than a query."""
    # trust_env=False: a proxy of the environment has no business between this page and a
    # Prometheus on this machine.
    return httpx.Client(timeout=TIMEOUT_S, trust_env=False)


def _ask(url: str, call: str, params: dict[str, str]) -> Answer:
    try:
        answer = _client().post(f"{url}/api/v1/{call}", data=params)
    except httpx.TimeoutException:
        return Failure("timeout", f"Prometheus at {url} did not answer within {TIMEOUT_S:g} s.")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return Failure("unreachable", f"Nothing answers as Prometheus at {url} ({error}).")
    return read(answer.status_code, answer.content, url)


def read(status: int, body: bytes, url: str) -> Answer:
    """An HTTP answer of the query API as series, or why it is none. Pure."""
    try:
        content = httpx.Response(200, content=body).json()
        if content.get("status") == "error":
            return Failure("refused", f"Prometheus refused the query: {content.get('error')}")
        if status != 200:
            raise ValueError(f"HTTP {status}")
        return tuple(_series(one) for one in content["data"]["result"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        return Failure(
            "unreadable",
            f"What answers at {url} is not Prometheus's query API (HTTP {status}, {error}).",
        )


def _series(result: dict[str, Any]) -> Series:
    points = result["values"] if "values" in result else [result["value"]]
    return Series(
        {str(key): str(value) for key, value in result["metric"].items()},
        tuple(float(time) for time, _ in points),
        tuple(float(value) for _, value in points),
    )
