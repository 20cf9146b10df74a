"""What the terminal shows: facts in, rich tables out."""

import time
from collections.abc import Iterator, Sequence

import psutil
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from dashboard import units
from lab.doctor import Check
from servers import catalog, instances, knobs
from servers.contract import Engine
from servers.instances import Instance

STATE_STYLE = {"running": "green", "starting": "yellow", "unhealthy": "red", "dead": "red"}
CHECK_STYLE = {"ok": "green", "note": "yellow", "missing": "red"}


def instances_table(found: Sequence[Instance]) -> RenderableType:
    """`lab ps`: every instance as it is now, a line each, and below it what needs more room."""
    if not found:
        return Text("nothing runs; `lab up vllm` starts an engine")
    states = [instances.status(one) for one in found]
    rows = [
        ("name", "state", "address", "memory", "up"),
        *((one.name, states[i], one.base_url, *_used(one)) for i, one in enumerate(found)),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    # One column, so that what stands below a line has the whole width, however narrow that is.
    table = Table.grid()
    table.add_column(overflow="fold")
    table.add_row(Text(lines[0], style="bold"))
    for one, state, line in zip(found, states, lines[1:], strict=True):
        text = Text(line)
        at = widths[0] + 2
        text.stylize(STATE_STYLE[state], at, at + len(state))
        table.add_row(text)
        for below in _below(one, state):
            table.add_row(Padding(Text(below, overflow="fold"), (0, 0, 0, 2)))
    return table


def _used(instance: Instance) -> tuple[str, str]:
    """Its memory, and for how long it has been up."""
    up_s = max(time.time() - instance.started_s, 0.0)
    return units.show(_memory_bytes(instance), "bytes"), units.seconds(up_s)


def _below(instance: Instance, state: str) -> Iterator[str]:
    """What it is, its model and what was set; its further ports; why it is not well."""
    what = _what(instance)
    if instance.model:
        what += f", model {instance.served_name}"
    if instance.changing:
        what += "; its settings are not known: a change of them was cut short, or is under way"
    elif changed := settings_changed(instance):
        what += f" with {', '.join(changed)}"
    yield what
    if further := [f"{name} {port}" for name, port in list(instance.ports.items())[1:]]:
        yield f"further ports: {', '.join(further)}"
    if state == "dead":
        yield f"its processes are gone: `lab up` starts it anew; its log is {instance.log}"
    elif state == "unhealthy" and not instances.leader_alive(instance):
        yield (
            "its first process is gone, and those it left may answer on: "
            f"`lab down {instance.name}` stops them"
        )
    elif state == "unhealthy":
        yield f"it lives and does not answer {instance.ready_url}; its log is {instance.log}"


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


def _memory_bytes(instance: Instance) -> float | None:
    """Memory of all its processes, shared pages counted once (PSS); `None` if none can be read."""
    total = 0
    for member in instances.members(instance):
        try:
            total += psutil.Process(member.pid).memory_full_info().pss
        except (psutil.Error, AttributeError):
            continue
    return float(total) or None
