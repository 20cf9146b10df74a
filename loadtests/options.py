"""What was asked for with the flags, as one checked whole. No load starts before."""

import argparse
import json
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TypeVar

from loadtests.asking import USUAL_PROMPT, Asking, PromptFlags, asking_of
from loadtests.errors import LoadError
from loadtests.lengths import Length
from loadtests.prompts import FileTokenizer
from loadtests.protocols.classify import CLASSIFY
from loadtests.schedule import ArrivalFlags, Schedule, must_outlast, schedule_of
from loadtests.wire import Timeouts, split_url
from measure.slo import Slo
from measure.store import LOGS
from measure.warmup import Warmup

F = TypeVar("F", ArrivalFlags, PromptFlags)


@dataclass(frozen=True)
class Options:
    """What was asked for, checked. `schedule` is `None` in a closed loop.

    `text_length` is that of a classifier's texts.
    """

    host: str
    protocol: str
    model: str | None
    asking: Asking
    text_length: Length
    run_dir: Path | None
    schedule: Schedule | None
    users: int
    duration_s: float | None
    warmup: Warmup
    seed: int
    slo: Slo
    metrics_targets: Path | None
    metrics_port: int
    tokenizer: FileTokenizer | None
    engine: dict[str, Any]
    timeouts: Timeouts
    max_in_flight: int
    transport: str

    @property
    def streams(self) -> int:
        """How many requests may be under way at once."""
        return self.users if self.schedule is None else self.max_in_flight

    @property
    def over_grpc(self) -> bool:
        """Whether the server is asked over gRPC; it may then be `host:port` or `grpc://…`."""
        return _over_grpc(self.protocol, self.transport)

    @property
    def prompt_tokens(self) -> int:
        """About how long a usual prompt is."""
        return self.asking.workload.typical_tokens


def check(parsed: argparse.Namespace) -> Options:
    """The options as one checked whole. Raises `LoadError` with what cannot be meant."""
    if not parsed.host:
        raise LoadError(
            "No server to load: give its base URL, for instance -H http://127.0.0.1:8000."
        )
    transport = _transport(parsed)
    if not _over_grpc(parsed.protocol, transport):
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
    warmup = Warmup.parse(parsed.warmup)
    if parsed.run_time and (warmup.duration_s or 0.0) >= parsed.run_time:
        raise LoadError(f"--warmup {warmup} leaves nothing of a run of {parsed.run_time:g} s (-t).")
    schedule = schedule_of(_flags(ArrivalFlags, parsed), parsed.run_time)
    must_outlast(schedule, warmup)
    tokenizer_path = _existing(parsed.tokenizer, "--tokenizer")
    tokenizer = FileTokenizer(tokenizer_path) if tokenizer_path else None
    asking = asking_of(
        _flags(PromptFlags, parsed),
        protocol=parsed.protocol,
        seed=parsed.seed,
        tokenizer=tokenizer,
        trace=schedule.trace if schedule else None,
    )
    # Where a length cannot be met with this tokenizer, it is said here.
    asking.workload.turn(0)
    return Options(
        host=parsed.host.rstrip("/"),
        protocol=parsed.protocol,
        model=parsed.model or None,
        asking=asking,
        text_length=Length.parse(parsed.prompt_tokens or str(USUAL_PROMPT), "--prompt-tokens"),
        run_dir=_run_dir(parsed.run_dir),
        schedule=schedule,
        users=parsed.num_users or 1,
        duration_s=parsed.run_time,
        warmup=warmup,
        seed=parsed.seed,
        slo=Slo.parse(parsed.slo) if parsed.slo else Slo(),
        metrics_targets=Path(parsed.metrics_targets) if parsed.metrics_targets else None,
        metrics_port=parsed.metrics_port,
        tokenizer=tokenizer,
        engine=_engine(parsed.engine_json),
        timeouts=Timeouts(
            connect_s=parsed.connect_timeout,
            first_token_s=parsed.first_token_timeout,
            gap_s=parsed.gap_timeout,
            total_s=parsed.total_timeout,
        ),
        max_in_flight=parsed.max_in_flight,
        transport=transport,
    )


def _flags(kind: type[F], parsed: argparse.Namespace) -> F:
    """The flags of one dataclass; the empty text, as Locust's web page gives it, is none."""
    return kind(**{field.name: getattr(parsed, field.name) or None for field in fields(kind)})


def _over_grpc(protocol: str, transport: str) -> bool:
    return protocol == "kserve-grpc" or (protocol == "kserve-infer" and transport == "grpc")


def _transport(parsed: argparse.Namespace) -> str:
    """What was said, or what -H says; of all classifiers only a KServe server has a choice."""
    if parsed.protocol == CLASSIFY.name:
        return "http"
    is_http = parsed.host.startswith(("http://", "https://"))
    return getattr(parsed, "transport", None) or ("http" if is_http else "grpc")


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
    except (OSError, ValueError, RecursionError) as error:
        raise LoadError(f"--engine-json {path} cannot be read as JSON: {error}.") from None
    if not isinstance(engine, dict):
        raise LoadError(f"--engine-json {path} must hold one JSON object.")
    return engine
