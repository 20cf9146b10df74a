"""Starting and stopping engines. What it starts it can always find again and stop.

The state of an instance is on disk before its process exists, so neither Ctrl-C nor `kill -9`
of the program that starts it leaves anything unknown; any later program can stop it.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from servers import (
    asking,
    catalog,
    changing,
    instances,
    paths,
    planner,
    readiness,
    starting,
    state,
    stopping,
    targets,
    warmup,
    ways,
)
from servers.contract import Engine, Request, Say, Value, Way
from servers.errors import PortTakenError, ServerError
from servers.instances import Instance
from servers.locks import locked

# Another lab on the machine may choose the same port in the seconds before an engine listens.
_STARTS = 3


def up(
    engine: Engine | str,
    *,
    name: str | None = None,
    settings: Mapping[str, Value] | None = None,
    model: str | None = None,
    ports: Mapping[str, int] | None = None,
    host: str = "127.0.0.1",
    way: Way | None = None,
    replace_other: bool = False,
    warm: bool = True,
    force: bool = False,
    say: Say = print,
) -> Instance:
    """Have an instance of the engine running, ready and warm; returns it.

    One of that name that already runs with the same engine, settings, model and ports is
    taken as it is; one that runs otherwise is an error, or, if `replace_other`, is given the
    settings in place where its engine can do that (`servers.changing`), and else stopped first.
    `settings` need hold only the knobs that differ from their defaults. `way` is how to run it;
    left out, the first of the engine's ways that can be had here. With `warm` one that was not
    warmed up is (`servers.warmup`); without it nothing is done to warm it, nor is one that was
    warmed started anew. One that cannot fit into the memory that is here is refused before
    anything is started or stopped (`servers.planner`), unless `force`.
    Raises `ServerError` for bad input, a name in use with other settings, a port in use, an
    engine that cannot be installed, ends while loading, never gets ready or does not answer its
    warm-up; nothing that was started is left running then. Ctrl-C while it loads stops it.
    """
    engine = catalog.find(engine) if isinstance(engine, str) else engine
    asked = asking.request(engine, name or engine.name, settings or {}, model, host)
    chosen = ways.choose(engine, way)
    if chosen.why:
        say(f"{asked.instance}: {chosen.why}")
    asked = replace(asked, way=chosen.way, program=chosen.program)
    asked = asking.equipped(engine, asked, model, say)
    fits = partial(planner.check, engine, asked, say, force=force)
    targets.remove_stale_clients()
    for attempt in range(1, _STARTS + 1):
        try:
            return _up(engine, asked, ports or {}, replace_other, warm, fits, say)
        except PortTakenError as error:
            if ports or attempt == _STARTS:
                raise
            say(f"{asked.instance}: {error}".replace("Start again", "Starting again"))
    raise AssertionError("the last attempt returns or raises")


def _up(
    engine: Engine,
    asked: Request,
    ports: Mapping[str, int],
    replace_other: bool,
    warm: bool,
    fits: Callable[[str | None], None],
    say: Say,
) -> Instance:
    """One attempt: adopt what runs, or start it, wait until it is ready, and warm it up."""
    instance, process = _adopt_or_start(engine, asked, ports, replace_other, fits, say)
    if process is None:
        instance = _adopted(engine, instance, say)
        if not warm and instance.warmup is not None:
            say(f"{instance.name}: it has been warmed up; stop it first to have it cold")
        return _warmed(engine, asked, instance, say) if warm else instance
    try:
        instance = _note_ready(engine, instance, readiness.wait(instance, say))
        say(
            f"{instance.name}: ready after {instance.ready_s:.1f} s at {instance.base_url} "
            f"(pid {instance.pid})"
        )
        return _warmed(engine, asked, instance, say) if warm else instance
    except BaseException as error:
        ours = isinstance(error, ServerError)
        stopped = ours and stopping.was_stopped(instance)
        if not ours:
            say(f"{instance.name}: interrupted; stopping what was started")
        try:
            stopping.stop(instance.name, instance, say=lambda _: None)
        except ServerError as left:
            # Why the start failed matters more than what it left behind.
            say(str(left))
        if stopped:
            raise ServerError(
                f"{instance.name!r} was stopped while it started, by `lab down` or another program."
            ) from error
        raise


def down(name: str | None = None, say: Say = print) -> list[str]:
    """Stop the instance of that name, or everything of this home; returns the names stopped.

    Works whoever started it and whatever of it is left. Stopping what does not run is no
    error: the list is empty. Raises `ServerError` if a process outlives SIGKILL.
    """
    try:
        return stopping.stop_all([name] if name is not None else stopping.known_names(), say)
    finally:
        targets.remove_stale_clients()


def _adopt_or_start(
    engine: Engine,
    asked: Request,
    asked_ports: Mapping[str, int],
    replace_other: bool,
    fits: Callable[[str | None], None],
    say: Say,
) -> tuple[Instance, subprocess.Popen[bytes] | None]:
    """The live instance of that name and `None`, or a new one and its process."""
    name = asked.instance
    while True:
        waiting = lambda: say(f"{name}: waiting for another start or stop to finish")  # noqa: E731
        with locked(paths.instances() / ".lock", waiting):
            current = stopping.load_or_none(name)
            if current is not None and instances.leader_alive(current):
                differing = changing.between(current, engine, asked, asked_ports)
                if not differing.words:
                    return current, None
                if not replace_other:
                    raise ServerError(
                        f"{name!r} already runs otherwise: {differing.words}. Run `lab down "
                        f"{name}` first, or start this one beside it with `--name {name}-2`."
                    )
                # What it cannot be started with is said while the other still runs.
                engine.launch(replace(asked, ports=engine.ports))
                fits(name)
                why = f"runs otherwise ({differing.words}); stopping it to start anew"
            elif not stopping.left_of(name, current):
                stopping.forget(name, current)
                fits(None)
                return starting.start(engine, asked, asked_ports, say)
            else:
                why, differing = "its first process is gone; stopping what it left", None
        if differing and differing.only_settings and changing.in_place(engine, asked, say):
            continue
        say(f"{name}: {why}")
        stopping.stop(name, current, say=lambda _: None)


def _adopted(engine: Engine, instance: Instance, say: Say) -> Instance:
    if not instance.ready:
        say(f"{instance.name}: already starting (pid {instance.pid}); waiting for it")
        return _note_ready(engine, instance, readiness.wait(instance, say))
    if instances.status(instance) != "running":
        # Busy is not broken: a loaded server may miss one question.
        deadline = time.monotonic() + 15
        while instances.status(instance) != "running":
            if time.monotonic() > deadline:
                raise ServerError(
                    f"The instance {instance.name!r} (pid {instance.pid}) lives but does not "
                    f"answer at {instance.ready_url}; its log is {instance.log}. "
                    f"`lab down {instance.name}` stops it."
                )
            time.sleep(0.5)
    targets.write(instance)
    say(f"{instance.name}: already runs at {instance.base_url} (pid {instance.pid})")
    return instance


def _note_ready(engine: Engine, instance: Instance, ready_s: float) -> Instance:
    """Record what can be known only now, and have the instance scraped."""
    version = engine.version(instance.base_url) if engine.version is not None else None
    return state.keep(replace(instance, ready=True, ready_s=ready_s, version=version))


def _warmed(engine: Engine, asked: Request, instance: Instance, say: Say) -> Instance:
    """The instance, warmed up now unless it was before or the engine has nothing to warm.

    Of two programs at once one does it, and the other waits.
    """
    if engine.warm_requests is None:
        return instance
    requests = engine.warm_requests(replace(asked, ports=instance.ports))
    waiting = lambda: say(f"{instance.name}: waiting for the end of its warm-up")  # noqa: E731
    with locked(asked.workspace / "warmup.lock", waiting):
        instance = instances.load(instance.name) or instance
        if instance.warmup is not None or not requests:
            return instance
        return state.keep(replace(instance, warmup=warmup.warm_up(instance, requests, say)))
