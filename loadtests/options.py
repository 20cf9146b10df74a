"""The load test's own options, beside Locust's, and what they must be. No load starts before."""

import argparse
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.arrivals import ARRIVALS
from loadtests.errors import LoadError
from loadtests.wire import Timeouts, split_url
from measure.errors import MeasureError
from measure.slo import Slo
from measure.store import LOGS

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "": 1.0}


@dataclass(frozen=True)
class Options:
    """What was asked for, checked. `rate_rps` is `None` in a closed loop."""

    host: str
    protocol: str
    model: str | None
    prompt_tokens: int
    output_tokens: int
    run_dir: Path | None
    arrival: str | None
    rate_rps: float | None
    users: int
    duration_s: float | None
    warmup_s: float
    seed: int
    slo: Slo
    metrics_targets: Path | None
    metrics_port: int
    tokenizer: Path | None
    engine: dict[str, Any]
    timeouts: Timeouts
    max_in_flight: int
    transport: str


def seconds(text: str) -> float:
    """`500ms`, `5s`, `1.5m`, `1h`, or seconds. For argparse."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration such as 500ms, 5s or 1m")
    return float(match[1]) * _UNITS_S[match[2]]


def positive_seconds(text: str) -> float:
    """A duration above zero. For argparse."""
    value = seconds(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} must be above zero")
    return value


def positive(text: str) -> int:
    """A whole number above zero. For argparse."""
    if not re.fullmatch(r"\d+", text) or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number above 0")
    return int(text)


def rate(text: str) -> float:
    """Requests a second. For argparse."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of requests a second above 0")
    return value


def port(text: str) -> int:
    """A TCP port; 0 lets the system choose. For argparse."""
    if not re.fullmatch(r"\d+", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _slo(text: str) -> Slo:
    try:
        return Slo.parse(text)
    except MeasureError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _one_process(text: str) -> int:
    raise argparse.ArgumentTypeError(
        "several processes are not supported yet: one run is driven by one process"
    )


def add_arguments(parser: argparse.ArgumentParser, protocols: tuple[str, ...]) -> None:
    """Add the options to Locust's parser. The first of `protocols` is the scenario's own."""
    for action in parser._actions:
        if action.dest in ("processes", "expect_workers"):
            # Refused while arguments are read, before Locust forks anything.
            action.type = _one_process
    load = parser.add_argument_group("Load (serving-lab)")
    load.add_argument("--model", default="", help="Served name; the only one there, if not given")
    load.add_argument(
        "--protocol", choices=protocols, default=protocols[0], help="How to talk to the server"
    )
    load.add_argument(
        "--prompt-tokens", type=positive, default=128, help="Length of each prompt (default 128)"
    )
    load.add_argument(
        "--output-tokens", type=positive, default=64, help="Length of each answer (default 64)"
    )
    load.add_argument(
        "--arrival",
        choices=tuple(ARRIVALS),
        help="Open loop: requests start when this process says, whatever happened to the others; "
        "needs --rate, and -u is not used",
    )
    load.add_argument("--rate", type=rate, help="Arrivals a second of the open loop")
    load.add_argument(
        "--max-in-flight",
        type=positive,
        default=10_000,
        help="Open loop: most requests at once; arrivals beyond it are dropped and recorded, and "
        "the run is invalid (default 10000)",
    )
    load.add_argument("--seed", type=int, default=0, help="Of prompts and arrivals (default 0)")
    load.add_argument(
        "--tokenizer",
        default="",
        help="tokenizer.json or a model folder: exact prompt lengths, and counts for servers that "
        "report no usage",
    )
    if protocols[0] == "kserve-infer":
        load.add_argument(
            "--transport",
            choices=("grpc", "http"),
            help="Default: what -H says (grpc://, http://), else grpc",
        )
    _add_run_arguments(parser.add_argument_group("Run (serving-lab)"))
    _add_timeouts(parser.add_argument_group("Timeouts (serving-lab)"))


def _add_run_arguments(run: argparse._ArgumentGroup) -> None:
    run.add_argument(
        "--run-dir", default="", help="Folder of the run, new or empty (default runs/<run_id>)"
    )
    run.add_argument(
        "--warmup",
        type=seconds,
        default=0.0,
        help="How much of the start does not count, e.g. 5s (default 0)",
    )
    run.add_argument(
        "--slo", type=_slo, default=Slo(), help="Service-level objective, e.g. ttft=0.5,itl=50ms"
    )
    run.add_argument(
        "--metrics-port", type=port, default=0, help="Port of the client's /metrics (default: free)"
    )
    run.add_argument(
        "--metrics-targets",
        default="",
        help="Folder of Prometheus file_sd targets to be listed in (default the lab's, if there)",
    )
    run.add_argument(
        "--engine-json",
        default="",
        help="File with what the run's manifest shall say of the engine",
    )


def _add_timeouts(group: argparse._ArgumentGroup) -> None:
    defaults = Timeouts()
    for name, default_s, what in (
        ("connect", defaults.connect_s, "to connect"),
        ("first-token", defaults.first_token_s, "until the first content"),
        ("gap", defaults.gap_s, "between two reads after it"),
        ("total", defaults.total_s, "a whole request"),
    ):
        group.add_argument(
            f"--{name}-timeout",
            type=positive_seconds,
            default=default_s,
            help=f"Longest time {what} (default {default_s:g}s)",
        )


def check(parsed: argparse.Namespace) -> Options:
    """The options as one checked whole. Raises `LoadError` with what cannot be meant."""
    if getattr(parsed, "master", False) or getattr(parsed, "worker", False):
        raise LoadError("--master and --worker are not supported yet: one process drives a run.")
    if not parsed.host:
        raise LoadError(
            "No server to load: give its base URL, for instance -H http://127.0.0.1:8000."
        )
    if parsed.protocol != "kserve-infer":
        try:
            split_url(parsed.host)
        except ValueError as error:
            raise LoadError(
                f"-H: {error}. Give a base URL such as http://127.0.0.1:8000."
            ) from None
    if parsed.num_users is not None and parsed.num_users < 1:
        raise LoadError(f"-u {parsed.num_users} is no number of users; give 1 or more.")
    spawn_rate = getattr(parsed, "spawn_rate", None)
    if spawn_rate is not None and not 0 < spawn_rate < math.inf:
        raise LoadError(f"-r {spawn_rate:g} is no number of users to start a second above 0.")
    if (parsed.arrival is None) != (parsed.rate is None):
        given, missing = (
            ("--rate", "--arrival poisson (or constant)")
            if parsed.arrival is None
            else ("--arrival", "--rate")
        )
        raise LoadError(f"{given} makes an open loop, which also needs {missing}.")
    if parsed.run_time and parsed.warmup >= parsed.run_time:
        raise LoadError(
            f"--warmup {parsed.warmup:g}s leaves nothing of a run of {parsed.run_time:g} s (-t)."
        )
    return Options(
        host=parsed.host.rstrip("/"),
        protocol=parsed.protocol,
        model=parsed.model or None,
        prompt_tokens=parsed.prompt_tokens,
        output_tokens=parsed.output_tokens,
        run_dir=_run_dir(parsed.run_dir),
        arrival=parsed.arrival,
        rate_rps=parsed.rate,
        users=parsed.num_users or 1,
        duration_s=parsed.run_time,
        warmup_s=parsed.warmup,
        seed=parsed.seed,
        slo=parsed.slo,
        metrics_targets=Path(parsed.metrics_targets) if parsed.metrics_targets else None,
        metrics_port=parsed.metrics_port,
        tokenizer=_existing(parsed.tokenizer, "--tokenizer"),
        engine=_engine(parsed.engine_json),
        timeouts=Timeouts(
            connect_s=parsed.connect_timeout,
            first_token_s=parsed.first_token_timeout,
            gap_s=parsed.gap_timeout,
            total_s=parsed.total_timeout,
        ),
        max_in_flight=parsed.max_in_flight,
        transport=getattr(parsed, "transport", None) or _transport_of(parsed.host),
    )


def _transport_of(host: str) -> str:
    return "http" if host.startswith(("http://", "https://")) else "grpc"


def _run_dir(text: str) -> Path | None:
    if not text:
        return None
    path = Path(text)
    # `lab run` puts the engine's log there first.
    if path.exists() and (not path.is_dir() or any(entry.name != LOGS for entry in path.iterdir())):
        raise LoadError(
            f"--run-dir {path} already holds something, and a run is never written over. Give a "
            "new folder, or remove that one."
        )
    return path


def _existing(text: str, option: str) -> Path | None:
    if not text:
        return None
    if not Path(text).exists():
        raise LoadError(f"{option} {text}: there is no such file or folder.")
    return Path(text)


def _engine(text: str) -> dict[str, Any]:
    path = _existing(text, "--engine-json")
    if path is None:
        return {}
    try:
        engine = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise LoadError(f"--engine-json {path} cannot be read as JSON: {error}.") from None
    if not isinstance(engine, dict):
        raise LoadError(f"--engine-json {path} must hold one JSON object.")
    return engine
