"""What Prometheus says of itself, read from its HTTP API's answers. Pure.

Every function takes the `data` of one call and raises `KeyError`, `TypeError`, `ValueError` or
`AttributeError` for what is none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dashboard.alerts import unix_time_s
from dashboard.prometheus import Series


@dataclass(frozen=True)
class Target:
    """What Prometheus scrapes, and how that goes. `age_s` is how old its newest sample is."""

    instance: str
    job: str
    engine: str
    url: str
    up: bool
    error: str
    scrape_s: float
    age_s: float


@dataclass(frozen=True)
class BadRule:
    """A rule that could not be evaluated, and why."""

    group: str
    name: str
    error: str


@dataclass(frozen=True)
class Group:
    """A group of rules: how many, how long one evaluation took, how often it is due."""

    name: str
    rules: int
    took_s: float
    every_s: float
    bad: tuple[BadRule, ...]


@dataclass(frozen=True)
class Server:
    """Prometheus itself. `series` are those in its head; `bytes` are its blocks on disk,
    into which it writes the head every two hours."""

    version: str
    started_s: float
    retention: str
    configured: bool
    series: int
    bytes: float | None


@dataclass(frozen=True)
class Facts:
    """All that one look at Prometheus found.

    `names` are the metrics each engine's instance has now, `earlier` those Prometheus still has of
    it in memory. `skew_s` is Prometheus's clock minus ours, known to within `skew_within_s`.
    """

    server: Server
    targets: Sequence[Target]
    groups: Sequence[Group]
    names: Mapping[str, frozenset[str]]
    earlier: Mapping[str, frozenset[str]]
    engines: Mapping[str, str]
    skew_s: float
    skew_within_s: float


def targets(data: Any, now_s: float) -> list[Target]:
    """The active targets, those that are down first. `now_s` is Prometheus's own clock."""
    found = []
    for one in data["activeTargets"]:
        labels = one["labels"]
        # One that was never scraped has Go's zero time.
        never = str(one["lastScrape"]).startswith("0001-")
        found.append(
            Target(
                str(labels.get("instance", "")),
                str(labels.get("job", "")),
                str(labels.get("engine", "")),
                str(one["scrapeUrl"]),
                one["health"] == "up",
                str(one["lastError"]) or ("" if one["health"] != "unknown" else "not yet scraped"),
                float(one["lastScrapeDuration"]),
                float("nan") if never else max(0.0, now_s - unix_time_s(one["lastScrape"])),
            )
        )
    return sorted(found, key=lambda target: (target.up, target.job, target.instance))


def groups(data: Any) -> list[Group]:
    """The rule groups in their order."""
    found = []
    for one in data["groups"]:
        bad = tuple(
            BadRule(str(one["name"]), str(rule["name"]), str(rule.get("lastError", "")))
            for rule in one["rules"]
            if rule["health"] == "err"
        )
        found.append(
            Group(
                str(one["name"]),
                len(one["rules"]),
                float(one["evaluationTime"]),
                float(one["interval"]),
                bad,
            )
        )
    return found


def server(build: Any, runtime: Any, tsdb: Any, storage: Sequence[Series]) -> Server:
    """Prometheus from its build, its runtime, its head and its own metric of what it stores."""
    return Server(
        str(build["version"]),
        unix_time_s(runtime["startTime"]),
        str(runtime["storageRetention"]),
        bool(runtime["reloadConfigSuccess"]),
        int(tsdb["headStats"]["numSeries"]),
        storage[0].last if storage else None,
    )


def names_now(counted: Sequence[Series]) -> tuple[dict[str, frozenset[str]], dict[str, str]]:
    """Metric names by instance, and each instance's engine, from a count by those labels."""
    found: dict[str, set[str]] = {}
    engines: dict[str, str] = {}
    for series in counted:
        instance = series.labels.get("instance", "")
        found.setdefault(instance, set()).add(series.labels.get("__name__", ""))
        engines[instance] = series.labels.get("engine", "")
    return {name: frozenset(several) for name, several in found.items()}, engines
