"""`lab calibrate`: how far this machine's load test is off, and up to which load.

The reference server streams at times it knows; plain Locust loads it, level after level, in a
closed loop; what was recorded is laid beside what was sent. Both share this machine, as a load
test and an engine do, so the error found is the one that a run here has.
"""

import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console

from lab import calibrate_file, calibrate_level, calibrate_tables, services
from lab.calibrate_level import Level
from lab.calibrate_truth import decode, join
from lab.driving import drive
from lab.errors import LabError
from measure.store import open_run
from servers import supervisor
from servers.contract import Say
from servers.instances import Instance
from servers.paths import ROOT
from servers.reference import ENGINE

LEVELS = (64, 256, 1024)
QUICK_LEVELS = (8, 32)
NAME = "calibration"
PROMPT_TOKENS = 64
OUTPUT_TOKENS = 100
QUICK_DURATION_S = 2.0
# Everyone has come before the window begins, and answers as long as usual are under way.
LONGEST_WARMUP_S = 5.0
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Plan:
    """What to measure: `streams` users at each level, for `duration_s` after the warm-up."""

    levels: tuple[int, ...] = LEVELS
    processes: int = 1
    duration_s: float = 10.0

    @property
    def warmup_s(self) -> float:
        """Half as long as what is measured, in whole seconds, and at most five."""
        return min(LONGEST_WARMUP_S, math.ceil(self.duration_s / 2))


def plan(levels: str | None, processes: int, duration_s: float | None, quick: bool) -> Plan:
    """The plan that the command line means; `LabError` for what cannot be measured."""
    streams = _streams(levels) if levels else (QUICK_LEVELS if quick else LEVELS)
    if processes < 1 or processes > streams[0]:
        raise LabError(
            f"--processes is {processes}; it must be at least 1, and each needs a stream of the "
            f"lowest level, {streams[0]}."
        )
    if duration_s is None:
        duration_s = QUICK_DURATION_S if quick else Plan.duration_s
    if duration_s < 1.0 or duration_s != int(duration_s):
        raise LabError(
            f"--duration is {duration_s:g} s; a level takes whole seconds, and at least 1s."
        )
    return Plan(streams, processes, duration_s)


def _streams(text: str) -> tuple[int, ...]:
    try:
        found = sorted({int(word) for word in text.split(",")})
    except ValueError:
        found = []
    if not found or found[0] < 1:
        raise LabError(
            f"--levels is '{text}'; write numbers of streams with commas, such as 64,256,1024."
        )
    return tuple(found)


def calibrate(asked: Plan, console: Console) -> list[Level]:
    """Measure every level, and print each as soon as it is there.

    Nothing is left running, also after Ctrl-C. Raises `LabError` if a level gives nothing to
    compare, `ServerError` if the reference server cannot be started.
    """
    say = console.print
    levels: list[Level] = []
    with services.alone(say), _reference() as server:
        for streams in asked.levels:
            level = _measure(asked, streams, server, console)
            calibrate_tables.print_level(console, level)
            levels.append(level)
    return levels


def finish(levels: Sequence[Level], console: Console, *, keep: bool) -> None:
    """Say what the ceiling is and keep all of it, unless it was only a quick look or none held."""
    calibrate_tables.print_ceiling(console, levels)
    if not keep:
        console.print("a quick look is not kept: `lab calibrate` without --quick is")
    elif not calibrate_level.ceiling(levels).tokens_per_s:
        console.print("nothing is kept of it; an older calibration stays as it was")
    else:
        console.print(f"kept in {calibrate_file.save(levels)}", markup=False)


@contextmanager
def _reference() -> Iterator[Instance]:
    quiet: Say = lambda _: None  # noqa: E731
    try:
        yield supervisor.up(ENGINE, name=NAME, replace_other=True, say=quiet)
    finally:
        supervisor.down(NAME, say=quiet)


def _measure(asked: Plan, streams: int, server: Instance, console: Console) -> Level:
    with (
        tempfile.TemporaryDirectory(prefix="serving-lab-") as scratch,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=_TIMEOUT_S) as client,
    ):
        client.post("/truth/reset").raise_for_status()
        run_dir, log = Path(scratch) / f"calibrate-{streams}", Path(scratch) / "locust.log"
        total_s = asked.warmup_s + asked.duration_s
        exit_code, interrupted = drive(
            _argv(asked, streams, server, run_dir),
            log,
            f"{streams} streams",
            total_s,
            console,
            # A home of its own: an older calibration must not judge the new one.
            env={"SERVING_LAB_HOME": scratch},
        )
        if interrupted:
            raise KeyboardInterrupt
        truth = decode(client.get("/truth").content)
        if not (run_dir / "summary.json").exists():
            said = "\n".join(log.read_text().strip().splitlines()[-15:])
            raise LabError(f"The load test of {streams} streams ended (exit {exit_code}):\n{said}")
        run = open_run(run_dir)
        joined = join(truth, run.counted, run.run_id)
        level = calibrate_level.level(
            joined, processes=asked.processes, streams=streams, summary=run.summary
        )
    if level is None:
        raise LabError(
            f"At {streams} streams no answer can be laid beside the truth: "
            f"{run.summary['requests']['ok']} of {run.summary['requests']['total']} requests were "
            "answered within the window. Give a longer --duration."
        )
    return level


def _argv(asked: Plan, streams: int, server: Instance, run_dir: Path) -> tuple[str, ...]:
    """Plain Locust, as anyone would start it."""
    # All have come when four fifths of the warm-up are over, one after another: no two in step.
    spawn_rate = streams / (asked.warmup_s * 0.8)
    processes = ("--processes", str(asked.processes)) if asked.processes > 1 else ()
    return (
        *(sys.executable, "-m", "locust", "-f", str(ROOT / "loadtests" / "chat.py")),
        *("--headless", "--only-summary", "--loglevel", "WARNING"),
        *("-H", server.base_url, "-u", str(streams), "-r", f"{spawn_rate:g}"),
        *("-t", f"{asked.warmup_s + asked.duration_s:g}s", "--stop-timeout", "10s"),
        *("--warmup", f"{asked.warmup_s:g}s", "--model", server.served_name),
        *("--prompt-tokens", str(PROMPT_TOKENS), "--output-tokens", str(OUTPUT_TOKENS)),
        *("--run-dir", str(run_dir)),
        *processes,
    )
