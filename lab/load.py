"""What a load is, and the `locust` command line that drives it. Pure."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lab.errors import LabError
from loadtests.asking import PromptFlags, asking_of, must_fit
from loadtests.errors import LoadError
from loadtests.prompts import FileTokenizer
from loadtests.schedule import ArrivalFlags, must_outlast, schedule_of
from measure.slo import Slo
from measure.warmup import Warmup
from servers.paths import ROOT

TRANSPORTS = ("http", "grpc")
# The protocols a scenario can speak, the usual one first.
SCENARIOS: Mapping[str, tuple[str, ...]] = {
    "chat": ("openai-chat", "tgi", "kserve-generate", "kserve-grpc"),
    "completion": ("openai-completions", "tgi", "kserve-generate", "kserve-grpc"),
    "classify": ("kserve-infer", "classify"),
}


# Short enough for an engine on a laptop.
PROMPT_TOKENS, OUTPUT_TOKENS = "64", "32"
NO_ARRIVALS, USUAL_PROMPTS = ArrivalFlags(), PromptFlags()


@dataclass(frozen=True)
class Load:
    """One load: a closed loop of `users`, or an open loop with the `arrivals` asked for.

    What no flag says of prompts and answers is `PROMPT_TOKENS` and `OUTPUT_TOKENS`, or what the
    trace or the dataset says.

    `processes` of the load test share it (-1: one for each core).

    Without a `protocol` it is the usual one of the scenario that the engine answers.
    """

    scenario: str
    duration_s: float
    warmup: Warmup
    users: int | None = None
    arrivals: ArrivalFlags = NO_ARRIVALS
    prompts: PromptFlags = USUAL_PROMPTS
    tokenizer: str = ""
    seed: int = 0
    slo: str = ""
    transport: str = "http"
    protocol: str = ""
    processes: int = 1


def validated(load: Load) -> Load:
    """The load itself, or a `LabError` that says what cannot be driven."""
    if load.scenario not in SCENARIOS:
        raise LabError(
            f"There is no scenario '{load.scenario}'. The scenarios are {', '.join(SCENARIOS)}."
        )
    if (load.users is None) == (load.arrivals == NO_ARRIVALS):
        raise LabError(
            "Say either --users N (closed loop: each user waits for its answer) or --rate R "
            "(open loop: R arrivals a second, whatever the server does), and not both."
        )
    for name, value, least in (
        ("--users", load.users, 1),
        ("--duration", load.duration_s, 1.0),
    ):
        if value is not None and value < least:
            raise LabError(f"{name} is {value:g}, and must be at least {least:g}.")
    if load.processes < 1 and load.processes != -1:
        raise LabError(
            f"--processes is {load.processes}; it must be 1 or more, or -1 for one on each core."
        )
    cores = os.cpu_count() or 1
    if load.processes > 2 * cores:
        raise LabError(
            f"--processes is {load.processes}, and this machine has {cores} cores: more than one "
            "on each makes the load test slower. Give fewer, or -1 for one on each."
        )
    if load.duration_s != int(load.duration_s):
        raise LabError(
            f"--duration is {load.duration_s:g} s, and Locust runs for whole seconds: "
            f"write {int(load.duration_s) + 1}s."
        )
    if load.transport not in TRANSPORTS:
        raise LabError(f"--transport is '{load.transport}', and can be {' or '.join(TRANSPORTS)}.")
    if load.protocol and load.protocol not in SCENARIOS[load.scenario]:
        raise LabError(
            f"--protocol is '{load.protocol}'; the scenario '{load.scenario}' can be asked in "
            f"{' or '.join(SCENARIOS[load.scenario])}."
        )
    if load.slo:
        Slo.parse(load.slo)
    if (load.warmup.duration_s or 0.0) >= load.duration_s:
        raise LabError(
            f"The warm-up of {load.warmup.duration_s:g} s leaves nothing to measure of the "
            f"{load.duration_s:g} s asked for: it must be shorter than --duration."
        )
    if load.tokenizer and not Path(load.tokenizer).exists():
        raise LabError(f"--tokenizer {load.tokenizer}: there is no such file or folder.")
    try:
        if load.tokenizer:
            # Read here only to be refused before an engine starts.
            FileTokenizer(Path(load.tokenizer))
        schedule = schedule_of(load.arrivals, load.duration_s)
        must_outlast(schedule, load.warmup)
        asking_of(load.prompts, protocol=None, trace=schedule.trace if schedule else None)
    except LoadError as error:
        raise LabError(str(error)) from None
    return load


def check_protocol(load: Load, protocol: str) -> None:
    """Raise `LabError` if what the load asks for cannot be asked in this protocol."""
    try:
        must_fit(load.prompts, protocol, of_trace=load.arrivals.trace is not None)
    except LoadError as error:
        raise LabError(str(error)) from None


def in_words(load: Load) -> str:
    """`8 users`, or the open loop: `poisson 4 requests/s`."""
    if load.users is not None:
        return f"{load.users} {'user' if load.users == 1 else 'users'}"
    arrivals = load.arrivals
    if arrivals.trace is not None:
        return f"trace {Path(arrivals.trace).name}"
    return f"{arrivals.arrival} {arrivals.rate} requests/s"


def _with_usual_lengths(load: Load) -> PromptFlags:
    prompts = load.prompts
    if load.arrivals.trace is not None or prompts.dataset is not None:
        return prompts
    return replace(
        prompts,
        prompt_tokens=prompts.prompt_tokens or PROMPT_TOKENS,
        output_tokens=prompts.output_tokens or OUTPUT_TOKENS,
    )


def _spawn_rate(load: Load) -> float:
    """Users a second, so that all have come one after another before the warm-up ends.

    Started at once they would march in step, and a batch of eight equal answers tells no more
    than one.
    """
    assert load.users is not None
    warmup_s = load.warmup.duration_s
    if warmup_s is None:
        # How long it will be is not known yet: a tenth of the load, or a few seconds.
        warmup_s = min(5.0, load.duration_s / 10)
    entering_s = warmup_s * 0.8
    return round(load.users / entering_s, 3) if entering_s > 0 else float(load.users)


def protocol_for(scenario: str, engine_protocols: Sequence[str]) -> str | None:
    """The protocol in which this scenario can talk to such an engine, or `None`."""
    spoken = SCENARIOS[scenario]
    return next((protocol for protocol in spoken if protocol in engine_protocols), None)


def usual_scenario(engine_protocols: Sequence[str]) -> str:
    """What an engine is asked if nobody says: chat where it can, else the first that it can."""
    fitting = (scenario for scenario in SCENARIOS if protocol_for(scenario, engine_protocols))
    return next(fitting, next(iter(SCENARIOS)))


def locust_argv(
    load: Load, *, host: str, model: str, protocol: str, run_dir: Path, engine_json: Path
) -> tuple[str, ...]:
    """The exact command; what `lab run` does can be done again by hand with it."""
    argv = [
        *(sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / f"{load.scenario}.py")),
        *("--headless", "--only-summary", "--loglevel", "WARNING"),
        *("-H", host, "-t", f"{load.duration_s:g}s", "--stop-timeout", "10s"),
        *("--model", model, "--protocol", protocol),
        *_with_usual_lengths(load).argv(),
        *("--warmup", str(load.warmup), "--seed", str(load.seed)),
        *("--run-dir", str(run_dir), "--engine-json", str(engine_json)),
    ]
    if load.slo:
        argv += ["--slo", load.slo]
    if protocol == "kserve-infer":
        argv += ["--transport", load.transport]
    if load.users is not None:
        argv += ["-u", str(load.users), "-r", f"{_spawn_rate(load):g}"]
    else:
        argv += load.arrivals.argv()
    if load.processes != 1:
        argv += ["--processes", str(load.processes)]
    if load.tokenizer:
        argv += ["--tokenizer", load.tokenizer]
    return tuple(argv)
