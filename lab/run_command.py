"""`lab run`: its options, and what it does with them."""

from pathlib import Path
from typing import Annotated, Any

import typer

from lab import services
from lab.errors import LabError
from lab.terminal import (
    Cold,
    EngineName,
    InstanceName,
    Model,
    Settings,
    WayOfRunning,
    console,
    say,
)
from measure.durations import parse_duration_s
from measure.warmup import Warmup
from servers import knobs


def _open(flag: str, what: str, metavar: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=what, rich_help_panel="Open loop")


def _asked(flag: str, what: str, metavar: str) -> Any:
    return typer.Option(flag, metavar=metavar, help=what, rich_help_panel="Prompts and answers")


def _absolute(path: str | None) -> str | None:
    """The path as Locust must have it, which runs in the lab's own folder."""
    return str(Path(path).resolve()) if path else None


def run_command(
    engine: EngineName,
    scenario: Annotated[
        str | None,
        typer.Option(
            help="chat, completion or classify; without it the first that the engine answers."
        ),
    ] = None,
    settings: Settings = None,
    model: Model = None,
    way: WayOfRunning = None,
    name: InstanceName = None,
    cold: Cold = False,
    users: Annotated[int | None, typer.Option(help="Closed loop: this many users.")] = None,
    duration: Annotated[str, typer.Option(help="How long, warm-up included.")] = "30s",
    warmup: Annotated[
        str,
        typer.Option(
            help="How much of the start does not count: 5s, 200req (that many answers), or auto "
            "(until the latency is steady; takes 200 answers)."
        ),
    ] = "5s",
    rate: Annotated[
        str | None,
        _open("--rate", "Requests a second; A:B for ramp, spike, diurnal; A,B,C for steps.", "R"),
    ] = None,
    arrival: Annotated[
        str | None,
        _open(
            "--arrival",
            "poisson (if only --rate is given), constant, gamma, ramp, steps, spike, diurnal or "
            "trace.",
            "KIND",
        ),
    ] = None,
    burstiness: Annotated[
        str | None, _open("--burstiness", "gamma: 1 is Poisson, below 1 burstier.", "SHAPE")
    ] = None,
    spike: Annotated[
        str | None, _open("--spike", "spike: when the rate is B, such as 20s+10s.", "START+LENGTH")
    ] = None,
    period: Annotated[
        str | None, _open("--period", "diurnal: from low to high and back.", "T")
    ] = None,
    trace: Annotated[
        str | None,
        _open(
            "--trace", "Mooncake's, Azure's or BurstGPT's trace, or the folder of a run.", "FILE"
        ),
    ] = None,
    speed: Annotated[
        str | None, _open("--speed", "trace: 2 is twice as fast as it was.", "X")
    ] = None,
    prompt_tokens: Annotated[
        str | None,
        _asked(
            "--prompt-tokens",
            "A number, uniform:MIN:MAX, normal:MEAN:DEVIATION or lognormal:MEDIAN:SIGMA (default "
            "64, or the trace's).",
            "N",
        ),
    ] = None,
    output_tokens: Annotated[
        str | None, _asked("--output-tokens", "Likewise (default 32, or the trace's).", "N")
    ] = None,
    shared_prefix_tokens: Annotated[
        str | None,
        _asked("--shared-prefix-tokens", "A beginning that prompts share, for prefix caches.", "N"),
    ] = None,
    prefixes: Annotated[
        str | None, _asked("--prefixes", "How many different shared beginnings (default 1).", "K")
    ] = None,
    dataset: Annotated[
        str | None,
        _asked("--dataset", "Prompts from ShareGPT's JSON or from JSONL of your own.", "FILE"),
    ] = None,
    turns: Annotated[
        str | None, _asked("--turns", "chat: turns of a conversation (default 1).", "N")
    ] = None,
    think_time: Annotated[
        str | None,
        _asked("--think-time", "chat: from answer to next turn: 2s, or exponential:2s.", "T"),
    ] = None,
    tokenizer: Annotated[
        str,
        _asked("--tokenizer", "A tokenizer.json or model folder, for exact lengths.", "FILE"),
    ] = "",
    seed: Annotated[int, typer.Option(help="Same seed, same prompts and arrivals.")] = 0,
    slo: Annotated[str, typer.Option(help="For goodput, such as ttft=0.5,itl=0.05.")] = "",
    transport: Annotated[str, typer.Option(help="kserve-infer: http or grpc.")] = "http",
    protocol: Annotated[
        str, typer.Option(help="Such as kserve-grpc or tgi; the scenario's usual one if left out.")
    ] = "",
    processes: Annotated[
        int, typer.Option(help="Of the load test, where one core is not enough; -1: every core.")
    ] = 1,
) -> None:
    """One experiment: the engine as set, one load, one run folder.

    An instance of that name with other settings is started anew. Without --users and --rate,
    four users ask in a closed loop.
    """
    from lab import experiment, reports
    from lab.load import NO_ARRIVALS, Load, usual_scenario, validated
    from loadtests.asking import PromptFlags
    from loadtests.schedule import ArrivalFlags

    kind = services.find(engine)
    arrivals = ArrivalFlags(
        arrival=arrival or ("poisson" if rate is not None else None),
        rate=rate,
        burstiness=burstiness,
        spike=spike,
        period=period,
        trace=_absolute(trace),
        speed=speed,
    )
    load = validated(
        Load(
            scenario=scenario or usual_scenario(kind.protocols),
            duration_s=parse_duration_s(duration),
            warmup=Warmup.parse(warmup),
            users=4 if users is None and arrivals == NO_ARRIVALS else users,
            arrivals=arrivals,
            prompts=PromptFlags(
                prompt_tokens=prompt_tokens,
                output_tokens=output_tokens,
                shared_prefix_tokens=shared_prefix_tokens,
                prefixes=prefixes,
                dataset=_absolute(dataset),
                turns=turns,
                think_time=think_time,
            ),
            tokenizer=_absolute(tokenizer) or "",
            seed=seed,
            slo=slo,
            transport=transport,
            protocol=protocol,
            processes=processes,
        )
    )
    experiment.protocol_of(kind, load)
    instance = experiment.ensure_instance(
        kind,
        say,
        name=name,
        settings=knobs.parse(kind, settings or []),
        model=model,
        way=way,
        warm=not cold,
    )
    outcome = experiment.run(kind, instance, load, console)
    reports.print_run(console, outcome.run)
    if outcome.interrupted:
        raise typer.Exit(130)
    if not outcome.run.summary["requests"]["ok"]:
        raise experiment.nothing_answered(outcome.run)
    if not outcome.run.finished:
        raise LabError(
            f"The load test was ended from outside (exit code {outcome.exit_code}); what had been "
            f"recorded by then is in {outcome.run.path}."
        )
