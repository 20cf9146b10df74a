"""Prometheus' rules: recordings that name the same thing alike for all engines, and alerts. Pure.

Those on objectives are in `servers.prometheus.burning`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

from servers.contract import Engine
from servers.prometheus import burning, objectives
from servers.prometheus.alert import Alert
from servers.prometheus.objectives import Objectives

EVERY = "5s"
"""How often rules are evaluated."""

CLIENT_SUSPECT_S = 0.010
CLIENT_INVALID_S = 0.100
"""`measure.verdict`: how late a client's loop may be before its numbers are in doubt, or void."""

WAITING = "instance:waiting:sum"
KV_CACHE = "instance:kv_cache_usage:max"
PREEMPTIONS = "instance:preemptions:rate1m"


class _Plain(yaml.SafeDumper):
    """Writes everything out, also what occurs twice."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def text(engines: Iterable[Engine], asked: Objectives) -> str:
    """The text of `rules.yml`."""
    known = [engine for engine in engines if engine.metrics]
    head = "".join(f"# {line}\n" for line in _head(known, asked))
    document = {"groups": groups(known, asked)}
    body = yaml.dump(document, Dumper=_Plain, sort_keys=False, width=10_000, allow_unicode=True)
    return head + body


def groups(engines: Sequence[Engine], asked: Objectives) -> list[dict[str, Any]]:
    """The rule groups, recordings before the alerts that read them."""
    several = {
        "objectives": [
            *burning.recordings(engines, asked),
            *_documents(burning.alerts(engines, asked)),
        ],
        "servers": [*_server_recordings(engines), *_documents(SERVER_ALERTS)],
        "lab": _documents(LAB_ALERTS),
    }
    return [{"name": name, "interval": EVERY, "rules": rules} for name, rules in several.items()]


def _head(engines: Sequence[Engine], asked: Objectives) -> list[str]:
    return [
        "Written by the lab (servers/prometheus/rules.py). Other thresholds:",
        "lab up prometheus --set slo_ttft_ms=500 --set slo_e2e_ms=200 --set slo_objective=0.99",
        "An engine's own histogram is not used for:",
        *(f"  {line}" for line in objectives.unmeasured(engines, asked)),
    ]


def _documents(alerts: Iterable[Alert]) -> list[dict[str, Any]]:
    return [alert.document() for alert in alerts]


def _server_recordings(engines: Sequence[Engine]) -> list[dict[str, Any]]:
    def union(aggregate: str, names: Sequence[str], form: str) -> str:
        return " or ".join(
            f"{aggregate} by (instance, engine) ({form.format(one)})"
            for one in objectives.concepts(engines, names)
        )

    expressions: Mapping[str, str] = {
        # One instance may have two queues (Triton's two models): they are added up.
        WAITING: "sum by (instance, engine) ("
        + " or ".join(objectives.concepts(engines, ("waiting", "classify_waiting")))
        + ")",
        KV_CACHE: union("max", ("kv_cache_usage",), "{}"),
        PREEMPTIONS: union("sum", ("preemptions",), "rate({}[1m])"),
    }
    return [{"record": name, "expr": expr} for name, expr in expressions.items()]


SERVER_ALERTS = (
    Alert(
        "RequestsKeepWaiting",
        f"min_over_time({WAITING}[30s]) > 0 and count_over_time({WAITING}[30s]) >= 5",
        "0s",
        "ticket",
        "{{ $labels.instance }}: its queue has not been empty for half a minute",
        "At least {{ $value }} requests waited at any moment of the last 30 s: more comes in than "
        "the engine carries, or its batch is kept too small. Every request waits in TTFT or E2E. "
        "Lower the rate, or let more requests into the batch.",
        "03_triton_batching",
    ),
    Alert(
        "KvCacheFull",
        f"{KV_CACHE} > 0.95",
        "10s",
        "ticket",
        "{{ $labels.instance }}: its KV cache is {{ $value | humanizePercentage }} full",
        "When no block is free, new requests wait and running ones are thrown out and computed "
        "anew. Give the cache more memory, allow fewer sequences, or shorter ones.",
        "04_vllm",
    ),
    Alert(
        "Preemptions",
        f"{PREEMPTIONS} > 0",
        "0s",
        "ticket",
        "{{ $labels.instance }}: running requests are thrown out of the batch",
        "{{ $value | humanize }} a second lost their place because the KV cache was full; all they "
        "had computed is computed again. Fewer sequences at a time give more throughput then.",
        "04_vllm",
    ),
)

LAB_ALERTS = (
    Alert(
        "TargetDown",
        'up{job!="client"} == 0',
        "10s",
        "page",
        "{{ $labels.instance }} ({{ $labels.job }}) does not answer Prometheus",
        "It has given no metrics for 10 s: it died, hangs, or is too busy to answer. `lab ps` says "
        "whether it runs, `lab logs {{ $labels.instance }}` what it said last.",
        "09_monitoring",
    ),
    Alert(
        "ClientSuspect",
        f"avg_over_time(client_loop_lag_seconds[15s]) > {CLIENT_SUSPECT_S:g} "
        f"<= {CLIENT_INVALID_S:g}",
        "10s",
        "ticket",
        "{{ $labels.instance }}: the load test itself is late",
        "Its event loop fires {{ $value | humanizeDuration }} late: it sends late and, where the "
        "kernel stamps no arrivals, reads late. What it measures is in doubt. Ask less of it, or "
        "spread it over processes.",
        "13_load_generator",
    ),
    Alert(
        "ClientInvalid",
        f"avg_over_time(client_loop_lag_seconds[15s]) > {CLIENT_INVALID_S:g}",
        "10s",
        "page",
        "{{ $labels.instance }}: the load test measures itself",
        "Its event loop fires {{ $value | humanizeDuration }} late: latencies it reports are its "
        "own. Ask less of it, or spread it over processes.",
        "13_load_generator",
    ),
    Alert(
        "ScrapeSlow",
        "scrape_duration_seconds > 0.5",
        "10s",
        "ticket",
        "{{ $labels.instance }} takes {{ $value | humanizeDuration }} to give its metrics",
        "Prometheus gives up after a second: then a sample is missing, and rates have holes. The "
        "machine is busy, or the engine answers /metrics between its other work.",
        "09_monitoring",
    ),
    Alert(
        "RulesFail",
        "increase(prometheus_rule_evaluation_failures_total[1m]) > 0",
        "0s",
        "page",
        "Prometheus could not evaluate a rule",
        "Alerts of the group {{ $labels.rule_group }} may be missing. The Health page names the "
        "rule and its error.",
        "09_monitoring",
    ),
)
