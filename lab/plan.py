"""`lab plan`: what engines would take of memory, before any of them is started."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from lab import services
from lab.terminal import Model, Settings, WayOfRunning, console, say
from servers import asking, knobs, planner, ways
from servers.contract import Engine, Request, Value, Way
from servers.errors import ServerError
from servers.gpus import Gpu
from servers.memory import WHATS, Memory, Part, What, show
from servers.planner import Holder, Plan

_NOTHING, _UNKNOWN = "–", "?"


def plan_command(
    engines: Annotated[list[str], typer.Argument(metavar="ENGINE...", help="One or more engines.")],
    settings: Settings = None,
    model: Model = None,
    way: WayOfRunning = None,
) -> None:
    """What these engines will take of memory together, and whether it fits; starts none of them.

    A knob is set on each of the engines that has it. An engine that runs already counts as
    stopped first, as `lab up` would do.
    """
    kinds = [services.find(name) for name in dict.fromkeys(engines)]
    asked = [
        planner.wanted(kind, _request(kind, chosen, model, way))
        for kind, chosen in zip(kinds, settings_of_each(kinds, settings or []), strict=True)
    ]
    found = planner.plan(asked, planner.look(without={kind.name for kind in kinds}))
    print_plan(console, found)
    if found.refusals:
        raise typer.Exit(1)


def settings_of_each(kinds: Sequence[Engine], items: Sequence[str]) -> list[dict[str, Value]]:
    """All knobs of each engine: those given that it has, over its defaults.

    Raises `ServerError` for one that none of them has.
    """
    names = {item: item.partition("=")[0].strip() for item in items}
    for item, name in names.items():
        if not any(kind.knob(name) for kind in kinds):
            knobs.parse(kinds[0], [item])
    return [knobs.parse(kind, [i for i in items if kind.knob(names[i])]) for kind in kinds]


def _request(
    kind: Engine, settings: dict[str, Value], model: str | None, way: Way | None
) -> Request:
    return replace(
        asking.request(kind, kind.name, settings),
        model=kind.resolve_model(model, say) if kind.resolve_model is not None else None,
        way=_way(kind, way),
    )


def _way(kind: Engine, asked: Way | None) -> Way:
    """How it would be run; a plan can be made where it cannot run at all."""
    try:
        return ways.choose(kind, asked).way
    except ServerError:
        if asked is not None:
            raise
        return kind.ways[0]


def print_plan(console: Console, plan: Plan) -> None:
    """The tables, where the numbers come from, and the verdict."""
    host = plan.here.host
    where = "this container" if host.limited else "this machine"
    console.print(f"Memory of {where}: {show(host.total_bytes)}, {show(host.free_bytes)} free")
    console.print(host_table(plan))
    if any(one.device == "cuda" for one in plan.wanted):
        for place, gpu in enumerate(plan.here.gpus):
            console.print(f"\nGPU {gpu.index}, {gpu.model}: {_gpu_words(gpu)}")
            console.print(gpu_table(plan, gpu, place))
    for line in how(plan):
        console.print(f"  {line}", style="dim", markup=False)
    for words in (*plan.refusals, *plan.warnings):
        console.print(words, style="red" if words in plan.refusals else "yellow", markup=False)
    if not plan.refusals:
        console.print(_verdict(plan))


def _verdict(plan: Plan) -> str:
    memories = [one.memory for one in plan.wanted if one.memory is not None]
    parts = [part for memory in memories for part in memory.parts]
    if any(part.host_bytes is None or part.gpu_bytes is None for part in parts):
        return "It can start, as far as is known: what is unknown counts as nothing here."
    return "It can start." if plan.warnings else "It fits."


def host_table(plan: Plan) -> Table:
    """The machine's own memory: what runs, what is wanted, what is left."""
    table = _table()
    for holder in plan.here.holders:
        _running(table, holder, holder.host_bytes, holder.host_to_come)
    start = most = 0
    for one in plan.wanted:
        memory = one.memory or Memory(())
        cells = [_cell(_parts(memory, what), lambda part: part.host_bytes) for what in WHATS]
        sums = [
            _sum(memory.parts, lambda part: part.host_bytes, memory.host(later))
            for later in (False, True)
        ]
        table.add_row(one.name, *cells, *sums)
        start, most = start + memory.host(False), most + memory.host(True)
    to_come = sum(holder.host_to_come for holder in plan.here.holders)
    left = [show(plan.here.host.free_bytes - to_come - taken) for taken in (start, most)]
    table.add_row("left", *[""] * len(WHATS), *left, style="bold")
    return table


def gpu_table(plan: Plan, gpu: Gpu, place: int) -> Table:
    """The same of one GPU, the `place`-th that engines see."""
    table = _table()
    for holder in plan.here.holders:
        if gpu.index in holder.gpu_bytes:
            _running(table, holder, holder.gpu_bytes[gpu.index], 0)
    taken = 0
    for one in plan.wanted:
        if one.memory is None or one.device != "cuda" or place >= one.memory.gpus:
            continue
        cells = [_cell(_parts(one.memory, what), lambda part: part.gpu_bytes) for what in WHATS]
        rest = planner.kv_cache_bytes(one, gpu)
        if rest is not None:
            cells[WHATS.index("KV cache")] = show(rest)
        # A share is taken whole, whatever its parts are.
        parts = one.memory.parts if rest is None else ()
        sums = [
            _sum(parts, lambda part: part.gpu_bytes, planner.taken(one, gpu, later))
            for later in (False, True)
        ]
        table.add_row(one.name, *cells, *sums)
        taken += planner.taken(one, gpu, later=False)
    if gpu.free_bytes is not None:
        table.add_row("left", *[""] * len(WHATS), show(gpu.free_bytes - taken), "", style="bold")
    return table


def how(plan: Plan) -> list[str]:
    """Where each number comes from, a line each."""
    return [
        f"{one.name}, {part.what}: {part.how}"
        for one in plan.wanted
        if one.memory is not None
        for part in one.memory.parts
        if part.how
    ]


def _table() -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for column in (*WHATS, "at the start", "at most"):
        table.add_column(column, justify="right", no_wrap=True)
    return table


def _running(table: Table, holder: Holder, held: int | None, to_come: int) -> None:
    now = _UNKNOWN if held is None else show(held)
    most = now if held is None else show(held + to_come)
    table.add_row(f"{holder.name} (runs)", *[""] * len(WHATS), now, most)


def _parts(memory: Memory, what: What) -> list[Part]:
    return [part for part in memory.parts if part.what == what]


def _cell(parts: Sequence[Part], size: Callable[[Part], int | None]) -> str:
    """The sum; `≤` where some comes later, `?` where none is known, `≥` where some is not."""
    sizes = [size(part) for part in parts]
    known = [one for one in sizes if one is not None]
    if not sum(known):
        return _UNKNOWN if len(known) < len(sizes) else _NOTHING
    later = any(part.later and size(part) for part in parts)
    sign = "≤ " if later else "≥ " if len(known) < len(sizes) else ""
    return sign + show(sum(known))


def _sum(parts: Sequence[Part], size: Callable[[Part], int | None], total: int) -> str:
    """The total of these parts, which is a least one where a part is unknown."""
    sign = "≥ " if any(size(part) is None for part in parts) else ""
    return sign + show(total) if total else _NOTHING


def _gpu_words(gpu: Gpu) -> str:
    if gpu.total_bytes is None or gpu.free_bytes is None:
        return "does not tell its memory"
    return f"{show(gpu.total_bytes)}, {show(gpu.free_bytes)} free"
