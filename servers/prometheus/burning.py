"""How fast the error budgets burn: the recordings and the alerts on objectives. Pure.

The alerts are Google's multiwindow, multi-burn-rate ones (The Site Reliability Workbook, chapter 5,
"Alerting on SLOs", method 6): the long window says that it matters, the short one that it still
goes on, so that an alert ends soon after its cause.

What was recorded for a threshold that is no more is still found for minutes: what is recorded
names its threshold, and what reads it selects the present one.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import Any

from servers.contract import Engine
from servers.prometheus import objectives
from servers.prometheus.alert import Alert
from servers.prometheus.objectives import BURNS, Burn, Measured, Objectives, Slo

LEAST_REQUESTS = 10
"""Below this many requests in the long window one failure would be news of nothing."""

REQUESTS, GOOD = "instance:slo_requests:rate", "instance:slo_good:rate"
ERRORS = "instance:slo_errors:ratio_rate"

_FAST = (
    "Look at the queue and at the rate offered: is it more than the engine can carry?",
    "SloBurnsFast",
    "page",
)
_SLOW = ("At this pace the budget ends long before its period.", "SloBurnsSlowly", "ticket")


def recordings(engines: Sequence[Engine], asked: Objectives) -> list[dict[str, Any]]:
    """Requests, good ones and the share of the others, over every window."""
    found: list[dict[str, Any]] = []
    measured = objectives.measured(engines, asked)
    for window in objectives.windows(asked):
        for one in measured:
            labels = _labels(asked, one)
            for name, expression in (
                (REQUESTS, objectives.total(one, window)),
                (GOOD, objectives.good(one, window)),
            ):
                found.append({"record": name + window, "expr": expression, "labels": labels})
        for slo in _read(measured):
            ratio = _error_ratio(window, _present(asked, slo))
            found.append({"record": ERRORS + window, "expr": ratio, "labels": {"slo": slo}})
    return found


def alerts(engines: Sequence[Engine], asked: Objectives) -> list[Alert]:
    """One on each pace for each objective that anything can be read for."""
    paces = zip(BURNS[asked.windows], (_FAST, _SLOW), strict=True)
    several = _read(objectives.measured(engines, asked))
    return [_alert(asked, slo, burn, *said) for (burn, said), slo in product(paces, several)]


def _read(measured: Sequence[Measured]) -> list[Slo]:
    """The objectives that anything can be read for."""
    return list(dict.fromkeys(one.slo for one in measured))


def _labels(asked: Objectives, one: Measured) -> dict[str, str]:
    return {
        **({"engine": one.engine} if one.engine else {}),
        "slo": one.slo,
        "seen_by": one.seen_by,
        "threshold_s": _threshold(asked, one.slo),
        "bound_s": f"{one.bound_s:g}",
    }


def _threshold(asked: Objectives, slo: Slo) -> str:
    return f"{asked.threshold_s(slo):.9g}"


def _present(asked: Objectives, slo: Slo) -> str:
    """The matchers of what is recorded for the objective as it is asked for now."""
    return f'slo="{slo}",threshold_s="{_threshold(asked, slo)}"'


def _error_ratio(window: str, now: str) -> str:
    """The share that missed it. Nothing while idle; all of them where no bucket has a series."""
    total = f"({REQUESTS}{window}{{{now}}} > 0)"
    return f"1 - {GOOD}{window}{{{now}}} / {total} or {total} * 0 + 1"


def _alert(asked: Objectives, slo: Slo, burn: Burn, advice: str, name: str, severity: str) -> Alert:
    now = _present(asked, slo)
    threshold = f"{slo.upper()} ≤ {asked.threshold_s(slo) * 1e3:g} ms"
    allowed = f"{(1 - asked.share) * 100:.6g}%"
    long, short = _spoken(burn.long_s), _spoken(burn.short_s)
    return Alert(
        name,
        _burning(burn, f"{1 - asked.share:.6g}", now),
        "0s",
        severity,
        f"{{{{ $labels.instance }}}}: {_share(now, burn.long_s)} of its requests missed "
        f"{threshold} over the last {long} ({_share(now, burn.short_s)} over {short}); the "
        f"objective allows {allowed}",
        f"{asked.share * 100:.6g}% of the requests are to keep {threshold}. Those that failed, or "
        "took longer than {{ $labels.bound_s }} s (the bound of the {{ $labels.seen_by }}'s "
        f"histogram at or just above), are over {burn.factor:g} times the allowed share, over the "
        f"last {long} and still over the last {short}. {advice}",
        "09_monitoring",
        _ended(asked, now, burn),
        {"slo": slo},
    )


def _burning(burn: Burn, budget: str, now: str) -> str:
    long, short = objectives.words(burn.long_s), objectives.words(burn.short_s)
    limit = f"{burn.factor:g} * {budget}"
    return (
        f"{ERRORS}{long}{{{now}}} > {limit} and {ERRORS}{short}{{{now}}} > {limit} "
        f"and {REQUESTS}{long}{{{now}}} * {burn.long_s} >= {LEAST_REQUESTS}"
    )


def _share(now: str, window_s: int) -> str:
    """A template: the share of this alert's requests that missed it, in three figures."""
    asked = _of_this(f"100 * {ERRORS}{objectives.words(window_s)}", now)
    return f'{{{{ with {asked} }}}}{{{{ . | first | value | printf "%.3g" }}}}%{{{{ end }}}}'


def _ended(asked: Objectives, now: str, burn: Burn) -> str:
    """A template: empty while requests are answered; else how long the alert looks back.

    The client's own series knows at once when a load test is gone.
    """
    shortest = min(one.short_s for one in BURNS[asked.windows])
    answered = _of_this(f"{REQUESTS}{objectives.words(shortest)}", now, " > 0")
    up = '(printf "up{job=\\"client\\",instance=%q}" $labels.instance | query)'
    gone = f'(and (eq $labels.seen_by "client") (not {up}))'
    return (
        f"{{{{ if or (not {answered}) {gone} }}}}No answers now (its load test is gone, or nothing "
        f"was answered for {_spoken(shortest)}): the alert looks back, and without new ones ends "
        f"within {_spoken(burn.short_s)}.{{{{ end }}}}"
    )


def _of_this(name: str, now: str, then: str = "") -> str:
    """The query, as a template has it, for that name's series of the alert that is told of."""
    labels = ("instance", "engine", "seen_by", "bound_s")
    matchers = ",".join([now.replace('"', '\\"'), *(f"{label}=%q" for label in labels)])
    values = " ".join(f"$labels.{label}" for label in labels)
    return f'(printf "{name}{{{matchers}}}{then}" {values} | query)'


def _spoken(seconds: int) -> str:
    """A window as people say it: `5 min`, `6 h`."""
    return f"{seconds // 3600} h" if seconds % 3600 == 0 else f"{seconds // 60} min"
