"""Other settings for what runs already: in place where the engine can do that, without a restart.

From before the first step of a change to after its last one, the state on disk says that the
instance is `changing`. If the change is cut short in any way, that stays there, so that nobody
later takes settings for true that may no longer be.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from servers import forecast, instances, knobs, paths, state, stopping
from servers.contract import Engine, Request, Say
from servers.errors import ServerError, UnsettledError
from servers.instances import Instance
from servers.locks import locked


@dataclass(frozen=True)
class Difference:
    """All that differs between what runs and what is asked, in words; empty if nothing does.

    `only_settings`: knobs differ and nothing else, and it is known how they stand now.
    """

    words: str
    only_settings: bool


def between(
    current: Instance, engine: Engine, asked: Request, asked_ports: Mapping[str, int]
) -> Difference:
    """Compare what runs with what is asked."""
    kept: list[tuple[str, object, object]] = [
        ("engine", current.engine, engine.name),
        ("model", current.model, asked.model),
        ("host", current.host, asked.host),
        ("device", current.device, asked.device),
        ("way", current.way, asked.way),
    ]
    settings: list[tuple[str, object, object]] = []
    if current.engine == engine.name:
        kept += [(f"port {n}", current.ports.get(n), port) for n, port in asked_ports.items()]
        settings = [
            (knob, knobs.show(current.settings.get(knob)), knobs.show(value))
            for knob, value in asked.settings.items()
        ]
    words = [f"{what} is {has}, asked {new}" for what, has, new in kept + settings if has != new]
    if current.changing:
        words.append("a change of its settings is under way or was cut short")
    only_settings = current.ready and all(has == new for _, has, new in kept)
    return Difference("; ".join(words), only_settings)


def in_place(engine: Engine, asked: Request, say: Say) -> bool:
    """Have the running instance take the settings asked for; `False` if it must start anew.

    Of two programs at once one does it, and the other waits. Raises `ServerError` if the engine
    refuses the settings (it goes on with those it had) or if it was stopped meanwhile.
    """
    if engine.reload is None:
        return False
    name = asked.instance
    waiting = lambda: say(f"{name}: waiting for another change of its settings")  # noqa: E731
    with locked(paths.instances() / f".{name}.changing", waiting):
        current = stopping.load_or_none(name)
        if current is None or not instances.leader_alive(current) or current.changing:
            return False
        difference = between(current, engine, asked, {})
        if not difference.only_settings:
            return False
        if not difference.words:
            return True
        began = time.monotonic()
        done = _change(engine, current, replace(asked, ports=current.ports), say)
        if done:
            took_s = time.monotonic() - began
            say(f"{name}: changed without a restart in {took_s:.1f} s: {difference.words}")
        return done


def _change(engine: Engine, current: Instance, asked: Request, say: Say) -> bool:
    assert engine.reload is not None
    state.keep(replace(current, changing=True))
    try:
        done = engine.reload(replace(asked, settings=current.settings), asked, say)
    except UnsettledError:
        raise
    except ServerError:
        state.keep(current)
        raise
    # Whatever was warm may have been replaced.
    changed = replace(
        current,
        settings=dict(asked.settings),
        warmup=None,
        memory_plan=forecast.of(engine, asked),
    )
    state.keep(changed if done else current)
    return done
