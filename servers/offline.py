"""An engine without a server over it: it answers a file of prompts and reports as it goes.

The job is a process of the engine's own environment. It carries the mark of this home, so that
`lab down` finds it and its children whatever became of us, and tells of what happens on a pipe, one
JSON object a line (times are seconds of the machine's monotonic clock):

    {"kind": "ready", "monotonic_s", "epoch_s", "version"}       loaded; the prompts begin
    {"kind": "refused", "place", "error", "monotonic_s"}         this prompt cannot be answered
    {"kind": "answer", "place", "text", "finish_reason", "prompt_tokens", "cached_tokens",
     "output_tokens", "queued_s", "scheduled_s", "first_token_s", "last_token_s"}
    {"kind": "metrics", "monotonic_s", "samples": [[name, labels, value], …]}
    {"kind": "done", "monotonic_s"}
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from servers import asking, instances, logs, paths, planner, starting, stopping
from servers.contract import Engine, Request, Say, Value
from servers.errors import ServerError

_ENDS_WITHIN_S = 15.0


class Job:
    """A job under way. `argv` is what runs, `log` what it writes."""

    def __init__(
        self, request: Request, argv: tuple[str, ...], process: subprocess.Popen[bytes], pipe: int
    ) -> None:
        self.name = request.instance
        self.request = request
        self.argv = argv
        self.log = paths.log_file(request.instance)
        self._process = process
        self._asked = False
        self._events: queue.Queue[dict[str, Any] | None] = queue.Queue()
        # A thread of its own: the engine never waits for who keeps its answers.
        threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def interrupt(self) -> None:
        """Have it stop where it is, as Ctrl-C would; `events` then gives what is left, and ends.

        Asked a second time it is killed.
        """
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGKILL if self._asked else signal.SIGINT)
        self._asked = True

    def events(self) -> Iterator[dict[str, Any]]:
        """What it reports, until it ends."""
        while (event := self._events.get()) is not None:
            yield event

    def failure(self) -> ServerError:
        """What to say where the events ended without `done`: the log's last lines are in it."""
        code = self._process.wait()
        return ServerError(
            f"{self.name}: the job ended (exit code {code}) before it was done. What was finished "
            f"is kept. The last lines of its log {self.log}:\n"
            + logs.quoted(logs.tail(self.log, 12))
        )

    def _read(self, pipe: int) -> None:
        with os.fdopen(pipe, "rb") as reports:
            for line in reports:
                # One that was killed while it wrote leaves a part of a line.
                if line.endswith(b"\n"):
                    self._events.put(json.loads(line))
        self._events.put(None)


@contextmanager
def job(
    engine: Engine,
    prompts: Sequence[Mapping[str, Any]],
    *,
    settings: Mapping[str, Value],
    model: str | None,
    say: Say,
) -> Iterator[Job]:
    """Run the engine over the prompts; whatever happens, nothing of it is left afterwards.

    A prompt has `prompt` or `messages`, and `output_tokens` if the answer is to be just so long.
    Its place in the sequence is what the job calls it.

    Raises `ServerError` if the engine has no such form, cannot be installed, is set in a way it
    refuses, or cannot fit into the memory that is here.
    """
    if engine.offline is None:
        raise ServerError(f"{engine.title} cannot answer a file of prompts without a server.")
    request = _request(engine, settings, model, say)
    planner.check(engine, request, say)
    request.workspace.mkdir(parents=True, exist_ok=True)
    if engine.prepare is not None:
        engine.prepare(request, say)
    log = paths.log_file(request.instance)
    asked = request.workspace / "prompts.jsonl"
    asked.write_text("".join(json.dumps(one) + "\n" for one in prompts), encoding="utf-8")
    receiving, sending = os.pipe()
    try:
        launch = engine.offline(request, asked, sending)
        mark = f"{instances.name_mark(request.instance)}{time.time()}:"
        process = starting.spawn(
            launch.argv, launch.env, request.workspace, mark, log, pass_fds=(sending,)
        )
    except BaseException as error:
        os.close(receiving)
        if isinstance(error, OSError):
            raise ServerError(f"{engine.name} cannot be started: {error}.") from error
        raise
    finally:
        os.close(sending)
    try:
        yield Job(request, launch.argv, process, receiving)
    finally:
        _end(request.instance, process)


def _request(engine: Engine, settings: Mapping[str, Value], model: str | None, say: Say) -> Request:
    name = f"{engine.name}-batch"
    other = instances.load(name)
    if other is not None and instances.alive(other):
        raise ServerError(
            f"A server runs under the name {name!r}, which is that of the job: `lab down {name}`."
        )
    return asking.equipped(engine, asking.request(engine, name, settings, model), model, say)


def _end(name: str, process: subprocess.Popen[bytes]) -> None:
    """Ask it to stop as Ctrl-C would, then see to it that no process of it lives."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=_ENDS_WITHIN_S)
    stopping.stop(name, None, say=lambda _: None)
