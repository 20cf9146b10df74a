"""Looking at Prometheus: every call at once, as the Health page needs them."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from dashboard import prometheus, promql
from dashboard.health import facts
from dashboard.health.facts import Facts
from dashboard.prometheus import Failure
from dashboard.words import t

_NAMES = 'count by (__name__, instance, engine) ({job="engine"})'
_STORED = "sum(prometheus_tsdb_storage_blocks_bytes)"


def look(url: str) -> Facts | Failure:
    """All facts, or why there are none: the first call that failed speaks for all."""
    clock = _clock(url)
    if isinstance(clock, Failure):
        return clock
    now_s, skew_s, within_s = clock
    calls: dict[str, Callable[[], Any]] = {
        "targets": lambda: prometheus.api(url, "targets", {"state": "active"}),
        "rules": lambda: prometheus.api(url, "rules"),
        "build": lambda: prometheus.api(url, "status/buildinfo"),
        "runtime": lambda: prometheus.api(url, "status/runtimeinfo"),
        "tsdb": lambda: prometheus.api(url, "status/tsdb"),
        "names": lambda: prometheus.query(url, _NAMES),
        "stored": lambda: prometheus.query(url, _STORED),
    }
    with ThreadPoolExecutor(max_workers=4) as pool:
        futures = {name: pool.submit(call) for name, call in calls.items()}
        answers = {name: future.result() for name, future in futures.items()}
        failure = next((one for one in answers.values() if isinstance(one, Failure)), None)
        if failure:
            return failure
        names, engines = facts.names_now(answers["names"])
        earlier = dict(zip(names, pool.map(lambda one: _earlier(url, one), names), strict=True))
    try:
        targets = facts.targets(answers["targets"], now_s)
        # Of one that does not answer everything is missing, which its error says better.
        up = {target.instance for target in targets if target.up}
        engines = {name: engine for name, engine in engines.items() if name in up}
        return Facts(
            facts.server(answers["build"], answers["runtime"], answers["tsdb"], answers["stored"]),
            targets,
            facts.groups(answers["rules"]),
            names,
            earlier,
            engines,
            skew_s,
            within_s,
        )
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        why = repr(error)
        return Failure(
            "unreadable",
            lambda: t(
                "What Prometheus at {url} says of itself is not understood ({why}).",
                url=url,
                why=why,
            ),
        )


def _clock(url: str) -> tuple[float, float, float] | Failure:
    """Prometheus's time, how far it is ahead of ours, and how well that is known (seconds)."""
    before_s = time.time()
    answer = prometheus.query(url, "vector(time())")
    after_s = time.time()
    if isinstance(answer, Failure):
        return answer
    now_s = answer[0].last if answer else float("nan")
    return now_s, now_s - (before_s + after_s) / 2, (after_s - before_s) / 2


def _earlier(url: str, instance: str) -> frozenset[str]:
    """The metrics that Prometheus has of the instance in memory, scraped now or not."""
    matched = f"{{instance={promql.quote(instance)}}}"
    found = prometheus.api(url, "label/__name__/values", {"match[]": matched})
    return frozenset(found) if isinstance(found, list) else frozenset()
