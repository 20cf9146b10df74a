"""A file of prompts answered by an engine without a server; what comes of it is a run as well."""

import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lab import services
from lab.batch_file import Answers, Prompt, opened, read_prompts
from lab.batch_run import BatchRun, engine_times
from lab.errors import LabError
from measure.store import Run
from servers import asking, offline
from servers.contract import Engine, Value
from servers.errors import ServerError

_SAID_EVERY_S = 5.0
NOTE = (
    "Offline there is no client: a request is sent when the engine has it in its queue and done at "
    "its last token, by the engine's clock. E2E holds the wait for a place in the batch; TTFT, ITL "
    "and chunk gaps of a client do not exist. The engine's own times stand with every answer."
)


@dataclass(frozen=True)
class Outcome:
    """What a batch came to. `run` is `None` if nothing was left to do, or nothing had begun.

    `left` counts the prompts without an answer, `refused` says why the engine would not take some
    (by line). `failure` is why the engine ended before its time.
    """

    run: Run | None
    left: int
    refused: Mapping[int, str] = field(default_factory=dict)
    interrupted: bool = False
    failure: ServerError | None = None


def batch(
    engine: Engine,
    source: Path,
    output: Path,
    console: Console,
    *,
    settings: Mapping[str, Value],
    model: str | None = None,
) -> Outcome:
    """Answer every prompt of `source` that has no answer in `output` yet.

    Ctrl-C stops it and keeps every answer that was finished; so does an engine that dies. Raises
    `LabError` for files that cannot be used, `ServerError` if the engine cannot be started.
    """

    def tell(text: str) -> None:
        console.print(text, markup=False)

    if engine.offline is None or engine.resolve_model is None:
        raise LabError(f"{engine.title} cannot answer a file of prompts without a server.")
    prompts = read_prompts(source)
    name = asking.served_name(engine, engine.resolve_model(model, tell))
    with opened(output, name) as answers, services.alone(tell):
        left = answers.left_of(prompts)
        tell(f"{len(prompts) - len(left)} of {len(prompts)} prompts have an answer in {output}")
        if not left:
            return Outcome(None, 0)
        with offline.job(
            engine, [one.asks for one in left], settings=settings, model=model, say=tell
        ) as job:
            tell(f"{job.name}: loading the model, log {job.log}")
            work = _Work(engine, job, source, left, answers, name)
            return work.outcome(console)


class _Work:
    """One job, from its start to its end: what it reports is kept as it comes."""

    def __init__(
        self,
        engine: Engine,
        job: offline.Job,
        source: Path,
        prompts: Sequence[Prompt],
        answers: Answers,
        model: str,
    ) -> None:
        self._engine = engine
        self._job = job
        self._source = source
        self._prompts = prompts
        self._answers = answers
        self._model = model
        self._run: BatchRun | None = None
        self._answered = 0
        self._stopped_s: float | None = None
        self._heard_s = 0.0
        self._refused: dict[int, str] = {}
        self._end_s: float | None = None

    def outcome(self, console: Console) -> Outcome:
        """Keep all that comes until the job ends, by itself or by Ctrl-C."""
        shown = _Shown(console, self._job.name, len(self._prompts))

        def stop() -> None:
            self._stopped_s = self._stopped_s or time.monotonic()
            self._job.interrupt()
            shown.stopping()

        with _stopped_by(stop):
            with shown:
                for event in self._job.events():
                    self._take(event)
                    shown.update(self._answered, event)
            # What the job did to its end was not interrupted, whoever asked for it.
            interrupted = self._stopped_s is not None and self._end_s is None
            failed = self._end_s is None and not interrupted
            run = None if self._run is None else self._run.close(self._over_s())
        return Outcome(
            run,
            len(self._prompts) - self._answered,
            self._refused,
            interrupted,
            self._job.failure() if failed else None,
        )

    def _over_s(self) -> float:
        """When the work was over: done, or stopped, or with the last that was heard of it.

        What the engine takes to end after that is no time in which it was to answer.
        """
        return self._end_s or max(self._stopped_s or 0.0, self._heard_s)

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        if kind == "answer" or self._stopped_s is None:
            self._heard_s = event.get("last_token_s") or event["monotonic_s"]
        if kind == "ready":
            count = len(self._prompts)
            self._run = BatchRun(self._engine, self._job, self._source, count, event)
        elif kind == "done":
            self._end_s = event["monotonic_s"]
        assert self._run is not None
        if kind == "metrics":
            self._run.measured(event)
        elif kind == "refused":
            line = self._prompts[event["place"]].line
            self._refused[line] = event["error"]
            self._run.refused(event, line)
        elif kind == "answer":
            self._keep(event)

    def _keep(self, event: dict[str, Any]) -> None:
        assert self._run is not None
        prompt = self._prompts[event["place"]]
        self._run.answered(event, prompt.line)
        facts = ("text", "finish_reason", "prompt_tokens", "cached_tokens", "output_tokens")
        answer = {**{name: event[name] for name in facts}, "engine": engine_times(event)}
        self._answers.append(prompt, self._model, self._run.name, answer)
        self._answered += 1


@contextmanager
def _stopped_by(stop: Callable[[], None]) -> Iterator[None]:
    """Within it Ctrl-C, SIGTERM and a closed terminal call `stop`.

    As exceptions they would come between two writes: an answer in the run, and not in its file.
    """
    kinds = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {kind: signal.signal(kind, lambda *_: stop()) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)


class _Shown:
    """How far the job is: a bar in a terminal, else a line now and then."""

    def __init__(self, console: Console, name: str, total: int) -> None:
        self._console = console
        self._doing = name
        self._total = total
        self._tokens = 0
        self._began_s = self._next_s = time.monotonic()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[pace]}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(f"{name}: loading", total=total, pace="")

    def __enter__(self) -> "_Shown":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def stopping(self) -> None:
        """From now on show that it is being stopped."""
        self._doing = f"{self._doing.partition(',')[0]}, stopping"
        self._bar.update(self._task, description=self._doing)

    def update(self, answered: int, event: Mapping[str, Any]) -> None:
        """Show the state after an event."""
        now_s = time.monotonic()
        if event["kind"] == "ready":
            self._began_s = now_s
            self._next_s = now_s + _SAID_EVERY_S
        self._tokens += event.get("output_tokens", 0)
        pace = f"{self._tokens / max(now_s - self._began_s, 1e-3):.0f} tok/s"
        self._bar.update(self._task, description=self._doing, completed=answered, pace=pace)
        if not self._console.is_terminal and now_s >= self._next_s:
            self._next_s = now_s + _SAID_EVERY_S
            self._console.print(f"{self._doing}: {answered} of {self._total}, {pace}", markup=False)
