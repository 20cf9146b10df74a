"""The alerts of Prometheus as they stand now: read, put in order, drawn as one small box."""

import html
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from dashboard import prometheus, text, units
from dashboard.prometheus import Failure
from dashboard.told import told
from dashboard.words import t

State = Literal["firing", "pending"]
Severity = Literal["page", "ticket", ""]

_COLOURS: Mapping[tuple[State, bool], str] = {
    ("firing", True): "#b3261e",
    ("firing", False): "#a35a00",
    ("pending", True): "#5c5c5c",
    ("pending", False): "#5c5c5c",
}
_PAST = "#5c5c5c"
_FRACTION = re.compile(r"\.(\d+)")


@dataclass(frozen=True)
class Alert:
    """One alert that is active. `since_s` is Unix time; `value` is its expression's, as text.

    `about` are the labels that say of what it speaks. `notebook` is where to read on. `ended` says,
    if it says anything, that nothing of the kind happens any more: the alert only looks back.
    """

    name: str
    state: State
    severity: str
    instance: str
    since_s: float
    value: str
    summary: str
    description: str
    notebook: str
    about: Mapping[str, str]
    ended: str = ""


def ask(url: str) -> list[Alert] | Failure:
    """The active alerts, the worst first."""
    data = prometheus.api(url, "alerts")
    return data if isinstance(data, Failure) else interpret(data)


def box(url: str, now_s: float) -> str:
    """The alerts of this Prometheus as a little HTML; why they cannot be told, where that is so."""
    found = ask(url)
    if isinstance(found, Failure):
        return f'<div style="opacity:.72;font-size:.85em">{_safe(found.message, 300)}</div>'
    return render(found, now_s)


def interpret(data: Any) -> list[Alert] | Failure:
    """The `data` of `/api/v1/alerts`: firing before pending, to be paged for first, oldest first.

    What only looks back stands behind all that goes on now. Alerts of rules that are not the lab's
    are shown with what they have. Pure.
    """
    try:
        found = [_alert(one) for one in data["alerts"] if one["state"] in ("firing", "pending")]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        why = repr(error)
        return Failure(
            "unreadable",
            lambda: t("Prometheus's list of alerts cannot be read ({error}).", error=why),
        )

    def urgency(one: Alert) -> tuple[bool, State, bool, float, str]:
        return bool(one.ended), one.state, one.severity != "page", one.since_s, one.name

    return sorted(found, key=urgency)


def _alert(document: Mapping[str, Any]) -> Alert:
    labels = {str(key): str(value) for key, value in document["labels"].items()}
    said = {str(key): str(value) for key, value in document.get("annotations", {}).items()}
    name = labels.pop("alertname")
    severity, instance = labels.pop("severity", ""), labels.get("instance", "")
    return Alert(
        name,
        document["state"],
        severity,
        instance,
        unix_time_s(document["activeAt"]),
        str(document.get("value", "")),
        said.get("summary") or f"{name} {instance}".strip(),
        said.get("description", ""),
        said.get("notebook", ""),
        labels,
        said.get("ended", ""),
    )


def unix_time_s(written: str) -> float:
    """Prometheus writes nanoseconds, which Python 3.11 reads only six digits of."""
    cut = _FRACTION.sub(lambda found: "." + found[1][:6].ljust(6, "0"), written)
    return datetime.fromisoformat(cut).timestamp()


def shown_value(written: str) -> str:
    """Prometheus writes `5e-01`: three figures, or what it wrote if that is no number."""
    try:
        number = float(written)
    except ValueError:
        return written
    return units.figures(number) if math.isfinite(number) else written


def headline(alerts: Sequence[Alert]) -> str:
    """One line: how many of each."""
    firing = sum(one.state == "firing" for one in alerts)
    pending = len(alerts) - firing
    if not alerts:
        return t("no alert")
    if not pending:
        return t("{firing} firing", firing=firing)
    return t("{firing} firing, {pending} pending", firing=firing, pending=pending)


def render(alerts: Sequence[Alert], now_s: float, most: int = 6) -> str:
    """The alerts as a little HTML, everything in it escaped; a small grey word if all is quiet."""
    if not alerts:
        return (
            '<div style="opacity:.72;font-size:.85em;text-align:right">'
            f"{html.escape(headline(alerts))}</div>"
        )
    rows = "".join(_row(one, now_s) for one in alerts[:most])
    rest = len(alerts) - most
    more = (
        f'<div style="opacity:.72;font-size:.85em">{html.escape(t("{n} more", n=rest))}</div>'
        if rest > 0
        else ""
    )
    return (
        f'<div role="status" aria-label="{html.escape(headline(alerts), quote=True)}" '
        f'style="display:grid;gap:3px">{rows}{more}</div>'
    )


def _row(one: Alert, now_s: float) -> str:
    colour = _PAST if one.ended else _COLOURS[one.state, one.severity == "page"]
    state = t("firing") if one.state == "firing" else t("pending")
    since = t("for {time}", time=units.seconds(max(0.0, round(now_s - one.since_s))))
    labels = ", ".join(f"{key}={value}" for key, value in sorted(one.about.items()))
    value = t("Value: {value}.", value=shown_value(one.value)) if one.value else ""
    summary = told(one.summary)
    said = (told(one.ended), summary, told(one.description), value, labels, one.notebook)
    hover = " ".join(part if part.endswith((".", "?")) else f"{part}." for part in said if part)
    past = f'<b style="flex:none">{html.escape(t("no answers now"))}</b>' if one.ended else ""
    return (
        f'<div title="{_safe(hover, 700)}" style="border-left:5px solid {colour};'
        "padding:2px 10px;display:flex;gap:10px;align-items:baseline;min-width:0;"
        'background:rgba(128,128,128,.09);border-radius:3px">'
        f'<span style="flex:none;border-radius:4px;padding:0 7px;font-size:.8em;line-height:1.6;'
        f'color:#fff;background:{colour}">{html.escape(state)}</span>'
        f'<strong style="flex:none">{_safe(one.name, 60)}</strong>'
        '<span style="flex:1 1 60px;min-width:0;overflow-wrap:anywhere">'
        f"{_safe(summary, 240)}</span>{past}"
        f'<span style="flex:none;opacity:.72;font-size:.85em">{html.escape(since)}</span></div>'
    )


def _safe(value: str, longest: int) -> str:
    return html.escape(text.plain(value, longest), quote=True)
