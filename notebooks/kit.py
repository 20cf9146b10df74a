"""What the cells of the notebooks call: the `lab` command, as functions that say what they do.

Each prints the command that does the same by hand.
"""

import io
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import plotly.graph_objects as go
from rich.console import Console

from dashboard import run_figures, tail_figure, units
from dashboard.runs import prepare
from dashboard.samples import Sample
from dashboard.theme import Line, lines_for_runs
from lab import ask as asking
from lab import experiment, services
from lab.load import NO_ARRIVALS, Load, locust_argv, protocol_for, validated
from loadtests.asking import PromptFlags
from loadtests.schedule import ArrivalFlags
from measure import window
from measure.arrival import in_words
from measure.quantiles import LEVELS, Floats
from measure.store import Run
from measure.summary import sample
from measure.warmup import Warmup
from notebooks import figures
from notebooks.pictures import show
from servers import instances, knobs, stopping, supervisor
from servers.contract import Value
from servers.instances import Instance
from servers.paths import ROOT

__all__ = [
    "ask", "compare", "down", "forget", "labels", "load", "moments", "show", "spread", "tails",
    "up", "values",
]  # fmt: skip

_TITLES = {
    "ttft_s": "TTFT",
    "ttft_from_schedule_s": "TTFT from schedule",
    "itl_s": "ITL",
    "e2e_s": "E2E",
    "schedule_delay_s": "schedule delay",
}
_LINE = 100
_started: list[str] = []
_drawn: list[str] = []


def up(engine: str, *, name: str | None = None, cold: bool = False, **settings: Value) -> Instance:
    """Start an engine (or use the one that runs so already) and wait until it answers.

    `settings` are knobs by the lab's names, such as `max_num_seqs=4`. Prometheus is started with
    it, so that the engine's own numbers are kept as well. With a `name` it is an instance of its
    own beside the first. With `cold` one that runs is stopped first, and the new one is not
    warmed up.
    """
    words = [f"{knob}={knobs.show(value)}" for knob, value in settings.items()]
    flags = [*(f"--set {word}" for word in words), *(["--no-warmup"] if cold else [])]
    flags += [f"--name {name}"] if name else []
    print("$ lab up", engine, *flags)
    kind = services.find(engine)
    before = _alive()
    try:
        services.watch(_quiet)
        if cold:
            supervisor.down(name or engine, say=_quiet)
        instance = experiment.ensure_instance(
            kind, _say, name=name, settings=knobs.parse(kind, words), warm=not cold
        )
    finally:
        # Also when the start fails: the last cell stops what did come up.
        _started.extend(sorted(_alive() - before - set(_started)))
    return instance


def ask(instance: Instance, prompt: str, tokens: int = 24) -> None:
    """Print how the model goes on from `prompt`."""
    text = asking.complete(services.find(instance.engine), instance, prompt, max_tokens=tokens)
    print(f"{instance.name}: {prompt}{text}\n")


def load(
    instance: Instance,
    *,
    seconds: float,
    users: int | None = None,
    rate: float | None = None,
    spike: tuple[float, float, float] | None = None,
    warmup: float = 3.0,
    tokens: int = 16,
    prompt_tokens: int | None = None,
    shared_tokens: int | None = None,
    text_tokens: int | None = None,
) -> Run:
    """Ask for `tokens` tokens, again and again, for so many seconds.

    A prompt has `prompt_tokens` (roughly; the lab's usual number if left out), unlike any other
    from its first word on; with `shared_tokens` all begin with the same so many.
    With `text_tokens` there is nothing to generate: texts of 2 to so many tokens are to be
    classified.

    With `users` it is a closed loop: a user asks the next time when the answer is there. With
    `rate` it is an open loop: requests come as a Poisson process of so many a second, whatever
    the server does; `spike=(400, 12, 6)` makes that 400 a second for 6 s, from second 12 on. What
    is wanted within the first `warmup` seconds does not count. Returns the run, which stays in
    `runs/`.
    """
    classify = text_tokens is not None
    lengths = {
        "prompt_tokens": text_tokens if classify else prompt_tokens,
        "output_tokens": None if classify else tokens,
        "shared_prefix_tokens": shared_tokens,
    }
    flags = {name: str(value) for name, value in lengths.items() if value is not None}
    asked = validated(
        Load(
            "classify" if classify else "completion",
            float(seconds),
            Warmup("fixed", float(warmup)),
            users=users,
            arrivals=_arrivals(rate, spike),
            prompts=PromptFlags(**flags),
            transport="http",
        )
    )
    print("$", _by_hand(asked, instance), flush=True)
    said = io.StringIO()
    console = Console(file=said, width=1000, force_jupyter=False, force_terminal=False)
    run = experiment.run(services.find(instance.engine), instance, asked, console).run
    print("".join(line for line in said.getvalue().splitlines(True) if "warning" in line), end="")
    counts, client = run.summary["requests"], run.summary["client"]
    speed: tuple[str, units.Unit] = (
        ("answered_rps", "rps") if classify else ("output_tokens_per_s", "tok/s")
    )
    print(
        f"{counts['ok']} answered, {counts['failed']} failed, "
        f"{units.show(run.summary[speed[0]], speed[1])}. "
        f"Can the client be believed? {'; '.join([client['verdict'], *client['reasons']])}."
    )
    return run


def _arrivals(rate: float | None, spike: tuple[float, float, float] | None = None) -> ArrivalFlags:
    if rate is None:
        return NO_ARRIVALS
    if spike is None:
        return ArrivalFlags("poisson", rate=f"{rate:g}")
    peak_rps, start_s, length_s = spike
    return ArrivalFlags("spike", rate=f"{rate:g}:{peak_rps:g}", spike=f"{start_s:g}s+{length_s:g}s")


def forget(instance: Instance) -> None:
    """Let the reference server forget what it has answered: its next request is its first."""
    httpx.post(f"{instance.base_url}/truth/reset", timeout=10.0).raise_for_status()


def labels(runs: Sequence[Run]) -> list[str]:
    """Names that tell the runs apart, as short as can be: `triton`, `triton max_num_seqs=1`, …"""
    changed = [_changed(run) for run in runs]
    shared = set(changed[0]).intersection(*changed[1:]) if changed else set()
    plain = [_instance(run) for run in runs]
    with_settings = [
        " ".join([name, *(word for word in words if word not in shared)])
        for name, words in zip(plain, changed, strict=True)
    ]
    with_load = [f"{name}, {_load(run)}" for name, run in zip(with_settings, runs, strict=True)]
    for names in (plain, with_settings, with_load):
        if len(set(names)) == len(names):
            return names
    return [run.run_id for run in runs]


def compare(*runs: Run, quantities: Sequence[str] = ("ttft_s", "itl_s", "e2e_s")) -> pd.DataFrame:
    """A table: one column a run, one row a number, each with its 95% interval in brackets.

    A dash stands where a sample is too small to say; percentiles that no run can carry are left
    out.
    """
    levels = [
        level
        for level in LEVELS
        if any(run.summary[quantity][level] is not None for run in runs for quantity in quantities)
    ]
    table: dict[str, list[str]] = {}
    for name, run in zip(labels(runs), runs, strict=True):
        summary = run.summary
        cells = [str(summary["requests"]["ok"]), str(summary["requests"]["failed"])]
        cells.append(units.show(summary["output_tokens_per_s"], "tok/s"))
        for quantity in quantities:
            cells += [_cell(summary[quantity], level) for level in levels]
        table[name] = cells
    rows = ["answered", "failed", "tokens a second"]
    rows += [f"{_TITLES[key]} {_percentile(level)}" for key in quantities for level in levels]
    return pd.DataFrame(table, index=rows)


def tails(*runs: Run, quantity: str = "ttft_s") -> go.Figure:
    """Latency against the percentile; the further right, the rarer and slower the request.

    The shade is the 95% interval. A line ends where its sample ends.
    """
    figure = tail_figure.figure(_samples(runs, quantity), "s")
    return figure.update_xaxes(title="percentile of requests").update_yaxes(title=_TITLES[quantity])


def spread(*runs: Run, quantity: str = "itl_s") -> go.Figure:
    """The share of requests (up) that took no longer than a time (right)."""
    figure = run_figures.ecdf(_samples(runs, quantity), "s")
    return figure.update_xaxes(title=_TITLES[quantity]).update_yaxes(title="share of requests")


def moments(*runs: Run, quantity: str = "ttft_s") -> go.Figure:
    """Each request's latency (up) at the moment it was wanted (right), one dot a request."""
    lines = _lines(runs)
    dots = [
        figures.Dots(name, lines[run.run_id], *values(run, quantity))
        for name, run in zip(labels(runs), runs, strict=True)
    ]
    return figures.over_time(dots, _TITLES[quantity])


def values(run: Run, quantity: str = "ttft_s") -> tuple[Floats, Floats]:
    """When each request that counts was wanted, and its latency (NaN if it has none); seconds.

    Both are in the order in which the requests were wanted.
    """
    open_loop = window.is_open_loop(run.manifest)
    wanted_s = window.wanted_s(run.counted, open_loop=open_loop)
    return np.sort(wanted_s), sample(quantity, run.counted, open_loop=open_loop)[0]


def down(*these: Instance) -> None:
    """Stop what this notebook started, or of that only `these`; what ran before it goes on."""
    asked = {one.name for one in these}
    chosen = [name for name in reversed(_started) if name in asked or not these]
    stopping.stop_all(chosen, say=_quiet)
    for name in chosen:
        print(f"$ lab down {name}")
        _started.remove(name)
    if not chosen:
        print("This notebook started nothing. `lab ps` shows what runs, `lab down` stops it.")


def _say(text: str) -> None:
    """Progress; an engine's long log lines are cut."""
    print(text if len(text) <= _LINE else f"{text[: _LINE - 1]}…", flush=True)


def _quiet(_text: str) -> None:
    return


def _alive() -> set[str]:
    return {one.name for one in instances.all_instances() if instances.alive(one)}


def _by_hand(load: Load, instance: Instance) -> str:
    """The Locust command, as a person in the project's folder would type it."""
    engine = services.find(instance.engine)
    protocol = protocol_for(load.scenario, engine.protocols) or engine.protocols[0]
    argv = locust_argv(
        load,
        host=instance.base_url,
        model=engine.served_models.get(protocol, instance.served_name),
        protocol=protocol,
        run_dir=Path("runs/NAME"),
        engine_json=Path("-"),
    )
    # `-m locust` is the same program; the engine's facts are the lab's own addition.
    words = list(argv[argv.index("locust") :])
    at = words.index("--engine-json")
    del words[at : at + 2]
    return shlex.join(words).replace(f"{ROOT}/", "")


def _instance(run: Run) -> str:
    return str(run.manifest["engine"]["instance"])


def _changed(run: Run) -> list[str]:
    """The knobs that are not at their defaults, as `--set` would take them."""
    engine = services.find(str(run.manifest["engine"]["name"]))
    changed = []
    for name, value in run.manifest["engine"]["settings"].items():
        # JSON has lists where a knob has a tuple.
        shown = knobs.show(tuple(value) if isinstance(value, list) else value)
        if (knob := engine.knob(name)) is not None and knobs.show(knob.default) != shown:
            changed.append(f"{name}={shown}")
    return changed


def _load(run: Run) -> str:
    return in_words(run.manifest["load"]["arrival"])


def _lines(runs: Sequence[Run]) -> Mapping[str, Line]:
    """A run keeps the colour it was first drawn in, through the whole notebook."""
    _drawn.extend(run.run_id for run in runs if run.run_id not in _drawn)
    return lines_for_runs(_drawn, dark=False)


def _samples(runs: Sequence[Run], quantity: str) -> list[Sample]:
    lines = _lines(runs)
    samples = []
    for name, run in zip(labels(runs), runs, strict=True):
        one = prepare(run)
        samples.append(
            Sample(name, lines[run.run_id], one.values[quantity], one.effective[quantity])
        )
    return samples


def _cell(described: Mapping[str, Any], level: str) -> str:
    """A quantile with its interval: `75 ms [71 ms, 80 ms]`."""
    interval = described["ci95"][level]
    value = units.show(described[level], "s")
    return f"{value} [{', '.join(units.show(end, 's') for end in interval)}]" if interval else value


def _percentile(level: str) -> str:
    return "p99.9" if level == "p999" else level
