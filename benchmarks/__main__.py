"""`make bench`: every tool against the reference server, in turns, at rising numbers of streams.

A run of all tools at all levels renews the figures in `benchmarks/README.md`; a narrower one only
prints its tables. Every result is in `benchmarks/results/` as soon as it is there.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path

import numpy as np

from benchmarks import own, processes, report, table, truth
from benchmarks.contract import Figures, Job, Tool
from benchmarks.peers import aiperf, genai_bench, guidellm, vllm
from benchmarks.results import Measured, Result
from lab import services
from lab.errors import LabError
from servers import device, environments, supervisor
from servers.errors import ServerError
from servers.models import tiny_llama
from servers.reference import ENGINE

TOOLS = (*own.TOOLS, *vllm.TOOLS, *aiperf.TOOLS, *guidellm.TOOLS, *genai_bench.TOOLS)
LEVELS = (64, 256, 1024)
LEAST = 32
REPETITIONS = 2
INSTANCE = "bench-reference"
MODEL = "reference"
PROMPT_TOKENS, OUTPUT_TOKENS = 32, 100
# What each stream sends. An answer takes 2.35 s on average: 0.37 s to its first token, 99 gaps.
ROUNDS = 4
SECONDS = 10
LIMIT_S = 240.0
_SAID = 120
_FILES = 65_536
RESULTS = report.HERE / "results"


def main() -> None:
    """Entry point: 0 if every run of every tool succeeded, 1 if one failed, 130 for Ctrl-C."""
    signal.signal(signal.SIGTERM, _terminated)
    options = _options()
    _allow_many_files()
    try:
        sys.exit(_bench(options))
    except (LabError, ServerError) as problem:
        sys.exit(f"error: {problem}")
    except KeyboardInterrupt:
        print("interrupted before anything was measured")
        sys.exit(130)


def _terminated(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def order(
    tools: Sequence[Tool], levels: Sequence[int], repetitions: int
) -> Iterator[tuple[int, int, Tool]]:
    """Repetition, level and tool of each run. Who begins changes with every round."""
    turn = 0
    for repetition in range(repetitions):
        for streams in levels:
            for place in range(len(tools)):
                yield repetition, streams, tools[(place + turn) % len(tools)]
            turn += 1


def _options() -> argparse.Namespace:
    names = list(dict.fromkeys(tool.name for tool in TOOLS))
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--levels", type=_levels, default=LEVELS, help="such as 64,256")
    parser.add_argument("--peers", type=_names(names), default=names, help=", ".join(names))
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    return parser.parse_args()


def _levels(text: str) -> tuple[int, ...]:
    try:
        levels = tuple(sorted({int(word) for word in text.split(",")}))
    except ValueError:
        levels = ()
    if not levels or levels[0] < LEAST:
        raise argparse.ArgumentTypeError(
            f"write numbers of streams with commas, each at least {LEAST}: a p99 takes more than "
            "100 answers"
        )
    return levels


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        wrong = [name for name in text.split(",") if name not in known]
        if wrong:
            raise argparse.ArgumentTypeError(f"no {', '.join(wrong)}; there are {', '.join(known)}")
        return text.split(",")

    return parse


def _bench(options: argparse.Namespace) -> int:
    tools = [tool for tool in TOOLS if tool.name in options.peers]
    pythons = _pythons(tools)
    tokenizer = tiny_llama(print)
    folder = RESULTS / datetime.now().strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    plan = list(order(tools, options.levels, options.repetitions))
    results: list[Result] = []
    began_s = time.monotonic()
    interrupted = False
    try:
        for number, (repetition, streams, tool) in enumerate(plan, 1):
            print(f"[{number}/{len(plan)}] {streams} streams, {tool.key}: ", end="", flush=True)
            python = pythons[tool.key]
            if isinstance(python, str):
                result = Result(tool.key, streams, repetition, 0.0, error=python)
            else:
                job_folder = folder / f"{tool.key}-{streams}-{repetition}"
                result = _one(tool, python, tokenizer, streams, repetition, job_folder)
            results.append(result)
            with (folder / "results.jsonl").open("a") as file:
                file.write(result.to_json() + "\n")
            print(table.line(result), flush=True)
    except KeyboardInterrupt:
        if not results:
            raise
        interrupted = True
    finally:
        supervisor.down(INSTANCE, say=lambda _: None)
    stamped = report.stamp(tools, options.repetitions)
    text = report.markdown(tools, options.levels, results, stamped)
    print(f"\n{text}\n\n{(time.monotonic() - began_s) / 60:.0f} minutes")
    if interrupted:
        print(f"interrupted after {len(results)} of {len(plan)} runs; the README is as it was")
        return 130
    if tools == list(TOOLS) and options.levels == LEVELS:
        report.write(text, results, stamped)
        print("the figures in benchmarks/README.md are new")
    return 1 if any(result.error for result in results) else 0


def _allow_many_files() -> None:
    """A connection is an open file: more than the usual 1,024, for the tools that ask for none."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _pythons(tools: Sequence[Tool]) -> dict[str, Path | str]:
    """The Python of each tool, its environment built; what went wrong where it could not be."""
    found: dict[str, Path | str] = {}
    for tool in tools:
        if tool.environment is None:
            found[tool.key] = Path(sys.executable)
            continue
        kind = device.detect() if tool.environment.cuda else "cpu"
        try:
            found[tool.key] = environments.ensure(tool.environment, kind, print)
        except ServerError as problem:
            print(f"{tool.key}: {problem}")
            found[tool.key] = str(problem).splitlines()[0]
    return found


def _one(
    tool: Tool, python: Path, tokenizer: Path, streams: int, repetition: int, folder: Path
) -> Result:
    """One run of one tool; a failure of the tool is a result too, and its log is kept."""
    folder.mkdir(parents=True)
    log = folder / "output.log"
    with services.alone(print):
        began_s = time.monotonic()
        server = supervisor.up(ENGINE, name=INSTANCE, say=lambda _: None)
        job = Job(
            python=python,
            url=server.base_url,
            model=MODEL,
            tokenizer=tokenizer,
            streams=streams,
            requests=streams * ROUNDS,
            seconds=SECONDS,
            prompt_tokens=PROMPT_TOKENS,
            output_tokens=OUTPUT_TOKENS,
            folder=folder,
        )
        try:
            truth.reset(server.base_url)
            ended = processes.run(tool.argv(job), _env(tool), folder, log, LIMIT_S)
            raw = truth.fetch(server.base_url)
        except OSError as problem:
            took_s = time.monotonic() - began_s
            return Result(tool.key, streams, repetition, took_s, error=f"not run: {problem}")
        took_s = time.monotonic() - began_s
    try:
        if ended.exit_code is None:
            raise ValueError(f"stopped after {LIMIT_S:.0f} s")
        reported = tool.read(folder)
        counted = tool.counted(folder) if tool.counted else None
    except (OSError, ValueError, KeyError, TypeError, IndexError) as problem:
        error = _why(ended, problem, log)
        return Result(tool.key, streams, repetition, took_s, error=error)
    warmup = streams if tool.warmed else 0
    sent = truth.whole_answers(raw, OUTPUT_TOKENS, counted=counted, warmup=warmup)
    if sent.count == 0:
        error = f"the server gave no whole answer, and it reports {reported.requests}"
        return Result(tool.key, streams, repetition, took_s, error=error)
    shutil.rmtree(folder)
    measured = _measured(tool, reported, ended, sent)
    return Result(tool.key, streams, repetition, took_s, measured=measured)


def _measured(tool: Tool, reported: Figures, ended: processes.Ended, sent: truth.Truth) -> Measured:
    begin_s, end_s = float(sent.received_s.min()), float(sent.last_s.max())
    most, mean = truth.in_flight(sent)
    return Measured(
        reported=reported,
        true=truth.figures(sent, tool.gap, tool.quantile),
        cpu_us_per_token=ended.cpu_between_s(begin_s, end_s) / sent.tokens * 1e6,
        tokens_per_s=sent.tokens / (end_s - begin_s),
        server_late_p99_s=float(np.percentile(sent.late_s, 99)),
        streams_most=most,
        streams_mean=mean,
        cut=sent.cut,
        blocked=sent.blocked,
    )


def _why(ended: processes.Ended, problem: Exception, log: Path) -> str:
    """One line: how it ended and the last it said."""
    said = log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
    how = (
        f"exit code {ended.exit_code}" if ended.exit_code else f"{type(problem).__name__} {problem}"
    )
    return f"{how}; it said last: {said[0].strip()[:_SAID]}"


def _env(tool: Tool) -> dict[str, str]:
    """This environment without what belongs to this Python; compiled files are kept, as usual."""
    own_only = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")
    return {k: v for k, v in os.environ.items() if k not in own_only} | dict(tool.env)


if __name__ == "__main__":
    main()
