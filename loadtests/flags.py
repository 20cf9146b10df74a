"""The load test's own flags, beside Locust's: their names, their help, and what one may hold.

What several of them mean together is checked in `loadtests/options.py`.
"""

import argparse
import re

from loadtests.schedule import KINDS
from loadtests.wire import Timeouts
from measure.durations import parse_duration_s
from measure.errors import MeasureError
from measure.slo import Slo
from measure.warmup import Warmup


def seconds(text: str) -> float:
    """A duration such as `500ms`, `5s` or `1m`, in seconds. For argparse."""
    try:
        return parse_duration_s(text)
    except MeasureError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


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


def port(text: str) -> int:
    """A TCP port; 0 lets the system choose. For argparse."""
    if not re.fullmatch(r"\d+", text) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port (0 to 65535)")
    return int(text)


def _warmup(text: str) -> str:
    """Checked, and left as text as the SLO is."""
    try:
        Warmup.parse(text)
    except MeasureError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _slo(text: str) -> str:
    """Checked, and left as text: a master sends what was asked for to its workers."""
    try:
        Slo.parse(text)
    except MeasureError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def add_arguments(parser: argparse.ArgumentParser, protocols: tuple[str, ...]) -> None:
    """Add the options to Locust's parser. The first of `protocols` is the scenario's own."""
    load = parser.add_argument_group("Load (serving-lab)")
    load.add_argument("--model", default="", help="Served name; the only one there, if not given")
    load.add_argument(
        "--protocol", choices=protocols, default=protocols[0], help="How to talk to the server"
    )
    load.add_argument("--seed", type=int, default=0, help="Of prompts and arrivals (default 0)")
    load.add_argument(
        "--tokenizer",
        default="",
        help="tokenizer.json or a model folder: exact prompt lengths, and counts for servers that "
        "report no usage",
    )
    if "kserve-infer" in protocols:
        load.add_argument(
            "--transport",
            choices=("grpc", "http"),
            help="kserve-infer: default what -H says (grpc://, http://), else grpc",
        )
    _add_prompts(parser.add_argument_group("Prompts and answers (serving-lab)"))
    _add_arrivals(parser.add_argument_group("Open loop (serving-lab)"))
    _add_run_arguments(parser.add_argument_group("Run (serving-lab)"))
    _add_timeouts(parser.add_argument_group("Timeouts (serving-lab)"))


def _add_prompts(asked: argparse._ArgumentGroup) -> None:
    """As text: what they mean together is for `loadtests/asking.py`."""
    for name, metavar, what in (
        (
            "prompt-tokens",
            "N",
            "Length of each prompt: a number, uniform:MIN:MAX, normal:MEAN:DEVIATION or "
            "lognormal:MEDIAN:SIGMA (default 128, or the trace's)",
        ),
        ("output-tokens", "N", "Length of each answer, likewise (default 64, or the trace's)"),
        (
            "shared-prefix-tokens",
            "N",
            "So many tokens before each prompt that it shares with others, for prefix caches",
        ),
        ("prefixes", "K", "How many different shared prefixes there are (default 1)"),
        (
            "dataset",
            "FILE",
            "Prompts from ShareGPT's JSON, or from JSONL with prompt or messages, in an order "
            "that the seed chooses; without a chat protocol, only what each conversation's user "
            "says first",
        ),
        ("turns", "N", "Chat: turns of each conversation; of a dataset's, the most"),
        (
            "think-time",
            "T",
            "Chat: from an answer to the next turn, e.g. 2s, or exponential:2s (default 0)",
        ),
    ):
        asked.add_argument(f"--{name}", metavar=metavar, help=what)


def _add_arrivals(loop: argparse._ArgumentGroup) -> None:
    """As text: what they mean together is for `loadtests/schedule.py`."""
    loop.add_argument(
        "--arrival",
        metavar="KIND",
        help=f"Requests start when this process says, whatever happened to the others: "
        f"{', '.join(KINDS)}; -u is not used",
    )
    for name, metavar, what in (
        ("rate", "R", "Requests a second; A:B for ramp, spike and diurnal; A,B,C for steps"),
        ("burstiness", "SHAPE", "gamma: 1 is Poisson, below 1 burstier, above 1 more regular"),
        ("spike", "START+LENGTH", "spike: when the rate is B and not A, e.g. 20s+10s"),
        ("period", "T", "diurnal: from low to high and back (default: the length of the load)"),
        (
            "trace",
            "FILE",
            "trace: Mooncake's JSONL, Azure's or BurstGPT's CSV, or the folder of a run; the load "
            "ends with it",
        ),
        ("speed", "X", "trace: 2 is twice as fast as it was (default 1)"),
    ):
        loop.add_argument(f"--{name}", metavar=metavar, help=what)
    loop.add_argument(
        "--max-in-flight",
        type=positive,
        default=10_000,
        help="Most requests at once; arrivals beyond it are dropped and recorded, and the run is "
        "invalid (default 10000)",
    )


def _add_run_arguments(run: argparse._ArgumentGroup) -> None:
    run.add_argument(
        "--run-dir", default="", help="Folder of the run, new or empty (default runs/<run_id>)"
    )
    run.add_argument(
        "--warmup",
        type=_warmup,
        default="0s",
        help="How much of the start does not count: a time (5s), a number of answers (200req), or "
        "auto: until latency is steady (default 0s)",
    )
    run.add_argument("--slo", type=_slo, help="Service-level objective, e.g. ttft=0.5,itl=50ms")
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
