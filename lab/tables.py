"""What the terminal shows: facts in, rich tables out."""

import time
from collections.abc import Sequence

import psutil
from rich.table import Table
from rich.text import Text

from dashboard import units
from lab.doctor import Check
from servers import catalog, instances, knobs
from servers.contract import Engine
from servers.instances import Instance

STATE_STYLE = {"running": "green", "starting": "yellow", "unhealthy": "red", "dead": "red"}
CHECK_STYLE = {"ok": "green", "note": "yellow", "missing": "red"}


def instances_table(found: Sequence[Instance]) -> Table:
    """`lab ps`: every instance as it is now."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "engine", "state", "address", "model", "memory", "up", "settings"):
        wraps = column in ("engine", "address", "model", "settings")
        # Ports may stand below the address; the address itself is to be copied.
        width = max((len(one.base_url) for one in found), default=None)
        width = width if column == "address" else None
        table.add_column(column, no_wrap=not wraps, overflow="fold", width=width)
    for one in found:
        state = instances.status(one)
        table.add_row(
            one.name,
            _what(one),
            Text(state, style=STATE_STYLE[state]),
            _addresses(one),
            one.served_name if one.model else "",
            units.show(_memory_bytes(one), "bytes"),
            units.seconds(max(time.time() - one.started_s, 0.0)),
            "not known: a change of them was cut short, or is under way"
            if one.changing
            else ", ".join(settings_changed(one)),
        )
    if not found:
        table.add_row("nothing runs; `lab up vllm` starts an engine")
    return table


def _what(instance: Instance) -> str:
    """The engine and its version; what it really is, where that is something else."""
    shown = catalog.own_title(instance.engine, instance.title) or instance.engine
    return f"{shown} {instance.version or ''}".strip()


def settings_changed(instance: Instance) -> list[str]:
    """The knobs that are not at their defaults, as `--set` would take them."""
    engine = catalog.ENGINES.get(instance.engine)
    return [
        f"{name}={knobs.show(value)}"
        for name, value in instance.settings.items()
        if engine is None or (knob := engine.knob(name)) is None or knob.default != value
    ]


def knobs_table(engine: Engine) -> Table:
    """`lab knobs`: what can be set, what the engine itself calls it, what it trades."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("knob", "default", "takes", "in the engine", "what it trades"):
        table.add_column(column, overflow="fold")
    for knob in engine.knobs:
        table.add_row(
            knob.name, knobs.show(knob.default), knobs.describe(knob), knob.flag, knob.trades
        )
    return table


def doctor_table(checks: Sequence[Check]) -> Table:
    """`lab doctor`: one line a check."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("what", "", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for check in checks:
        state = Text(check.state, style=CHECK_STYLE[check.state])
        table.add_row(check.what, state, check.found, check.advice)
    return table


def _addresses(instance: Instance) -> str:
    """Where it answers, and its further ports by name."""
    further = [f"{name} {port}" for name, port in list(instance.ports.items())[1:]]
    return f"{instance.base_url} ({', '.join(further)})" if further else instance.base_url


def _memory_bytes(instance: Instance) -> float | None:
    """Memory of all its processes, shared pages counted once (PSS); `None` if none can be read."""
    total = 0
    for member in instances.members(instance):
        try:
            total += psutil.Process(member.pid).memory_full_info().pss
        except (psutil.Error, AttributeError):
            continue
    return float(total) or None
