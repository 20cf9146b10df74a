"""What a load is, and the `locust` command line that drives it. Pure."""

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from measure.slo import Slo
from servers.paths import ROOT

ARRIVALS = ("poisson", "constant")
TRANSPORTS = ("grpc", "http")
# The protocols a scenario can speak, the usual one first.
SCENARIOS: Mapping[str, tuple[str, ...]] = {
    "chat": ("openai-chat", "tgi", "kserve-generate", "kserve-grpc"),
    "completion": ("openai-completions", "tgi", "kserve-generate", "kserve-grpc"),
    "classify": ("kserve-infer",),
}


@dataclass(frozen=True)
class Load:
    """One load: a closed loop of `users`, or an open loop of `rate_rps` arrivals a second.

    Without a `protocol` it is the usual one of the scenario that the engine answers.
    """

    scenario: str
    duration_s: float
    warmup_s: float
    users: int | None = None
    rate_rps: float | None = None
    arrival: str = "poisson"
    prompt_tokens: int = 64
    output_tokens: int = 32
    seed: int = 0
    slo: str = ""
    transport: str = "grpc"
    protocol: str = ""


def validated(load: Load) -> Load:
    """The load itself, or a `LabError` that says what cannot be driven."""
    if load.scenario not in SCENARIOS:
        raise LabError(
            f"There is no scenario '{load.scenario}'. The scenarios are {', '.join(SCENARIOS)}."
        )
    if (load.users is None) == (load.rate_rps is None):
        raise LabError(
            "Say either --users N (closed loop: each user waits for its answer) or --rate R "
            "(open loop: R arrivals a second, whatever the server does), and not both."
        )
    for name, value, least in (
        ("--users", load.users, 1),
        ("--duration", load.duration_s, 1.0),
        ("--prompt-tokens", load.prompt_tokens, 1),
        ("--output-tokens", load.output_tokens, 1),
    ):
        if value is not None and value < least:
            raise LabError(f"{name} is {value:g}, and must be at least {least:g}.")
    if load.duration_s != int(load.duration_s):
        raise LabError(
            f"--duration is {load.duration_s:g} s, and Locust runs for whole seconds: "
            f"write {int(load.duration_s) + 1}s."
        )
    if load.rate_rps is not None and not 0 < load.rate_rps < math.inf:
        raise LabError(f"--rate is {load.rate_rps:g}; it must be a number of requests above 0.")
    for option, chosen, known in (
        ("--arrival", load.arrival, ARRIVALS),
        ("--transport", load.transport, TRANSPORTS),
    ):
        if chosen not in known:
            raise LabError(f"{option} is '{chosen}', and can be {' or '.join(known)}.")
    if load.protocol and load.protocol not in SCENARIOS[load.scenario]:
        raise LabError(
            f"--protocol is '{load.protocol}'; the scenario '{load.scenario}' can be asked in "
            f"{' or '.join(SCENARIOS[load.scenario])}."
        )
    if load.slo:
        Slo.parse(load.slo)
    if not 0 <= load.warmup_s < load.duration_s:
        raise LabError(
            f"The warm-up of {load.warmup_s:g} s leaves nothing to measure of the "
            f"{load.duration_s:g} s asked for: it must be shorter than --duration."
        )
    return load


def _spawn_rate(load: Load) -> float:
    """Users a second, so that all have come one after another before the warm-up ends.

    Started at once they would march in step, and a batch of eight equal answers tells no more
    than one.
    """
    assert load.users is not None
    entering_s = load.warmup_s * 0.8
    return round(load.users / entering_s, 3) if entering_s > 0 else float(load.users)


def protocol_for(scenario: str, engine_protocols: Sequence[str]) -> str | None:
    """The protocol in which this scenario can talk to such an engine, or `None`."""
    spoken = SCENARIOS[scenario]
    return next((protocol for protocol in spoken if protocol in engine_protocols), None)


def locust_argv(
    load: Load, *, host: str, model: str, protocol: str, run_dir: Path, engine_json: Path
) -> tuple[str, ...]:
    """The exact command; what `lab run` does can be done again by hand with it."""
    argv = [
        *(sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / f"{load.scenario}.py")),
        *("--headless", "--only-summary", "--loglevel", "WARNING"),
        *("-H", host, "-t", f"{load.duration_s:g}s", "--stop-timeout", "10s"),
        *("--model", model, "--protocol", protocol),
        *("--prompt-tokens", str(load.prompt_tokens), "--output-tokens", str(load.output_tokens)),
        *("--warmup", f"{load.warmup_s:g}s", "--seed", str(load.seed)),
        *("--run-dir", str(run_dir), "--engine-json", str(engine_json)),
    ]
    if load.slo:
        argv += ["--slo", load.slo]
    if protocol == "kserve-infer":
        argv += ["--transport", load.transport]
    if load.users is not None:
        argv += ["-u", str(load.users), "-r", f"{_spawn_rate(load):g}"]
    else:
        argv += ["--arrival", load.arrival, "--rate", f"{load.rate_rps:g}"]
    return tuple(argv)
