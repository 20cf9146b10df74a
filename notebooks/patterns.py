"""The same texts asked in several serving patterns, and what their client had in hand when."""

import io
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pandas as pd
import plotly.graph_objects as go
from rich.console import Console

from dashboard import units
from dashboard.figures import common, ticks
from dashboard.theme import lines_for_runs
from lab import batch as offline_batch
from lab import services
from measure.store import Run
from notebooks.errors import NotebookError
from servers.instances import Instance

_TIMEOUT_S = 60.0
_POLL_S = 0.02
_HEIGHT = 360
_BEGINNINGS = ("I love", "I hate", "Nobody expected", "My sister likes", "He is bored by")
_ENDS = ("this film", "the weather", "long meetings", "warm bread", "a late train", "old songs")


@dataclass(frozen=True)
class Watched:
    """One client with a list of texts, in one pattern; seconds from its first byte.

    `accepted_s` is when the server had said that it takes the work (with the first answer, where
    it says nothing before); `answered_s` when each answer was in the client's hands. `requests` is
    how many HTTP requests that took.
    """

    name: str
    accepted_s: float
    answered_s: tuple[float, ...]
    requests: int

    @property
    def first_s(self) -> float:
        """Until the first answer: what TTFT is for a text that is generated."""
        return self.answered_s[0]

    @property
    def last_s(self) -> float:
        """Until the last one: E2E."""
        return self.answered_s[-1]


def texts(count: int) -> list[str]:
    """So many short sentences, no two the same."""
    return [
        f"{_BEGINNINGS[n % len(_BEGINNINGS)]} {_ENDS[n % len(_ENDS)]}, said number {n}."
        for n in range(count)
    ]


def prompts(count: int) -> list[str]:
    """So many prompts of six sentences: some 70 tokens, about as long as those of `kit.load`."""
    sentences = texts(6 * count)
    return [" ".join(sentences[n : n + 6]) for n in range(0, len(sentences), 6)]


def synchronous(instance: Instance, asked: Sequence[str]) -> Watched:
    """One request a text, each sent when the answer to the one before is there."""
    with _client(instance) as client:
        began_s, answered = time.perf_counter(), []
        for text in asked:
            client.post("/classify", json={"text": text}).raise_for_status()
            answered.append(time.perf_counter() - began_s)
    return Watched("synchronous", answered[0], tuple(answered), len(asked))


def streamed(instance: Instance, asked: Sequence[str]) -> Watched:
    """One request with all texts, whose answers come as server-sent events."""
    body, answered = _requests(asked), []
    with _client(instance) as client:
        began_s = time.perf_counter()
        with client.stream("POST", "/classify/stream", json=body) as answer:
            answer.raise_for_status()
            accepted_s = time.perf_counter() - began_s
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    answered.append(time.perf_counter() - began_s)
    return Watched("streaming", accepted_s, tuple(answered), 1)


def as_job(instance: Instance, asked: Sequence[str]) -> Watched:
    """One request that hands in all texts, then polls until the results are there."""
    with _client(instance) as client:
        began_s = time.perf_counter()
        job = _hand_in(client, asked)
        accepted_s = time.perf_counter() - began_s
        results, polls = _poll(client, job)
        ended_s = time.perf_counter() - began_s
    return Watched("asynchronous", accepted_s, (ended_s,) * len(results), 1 + polls)


def hand_in(instance: Instance, asked: Sequence[str]) -> str:
    """Hand in a job and go: returns its id."""
    with _client(instance) as client:
        return _hand_in(client, asked)


def fetch(instance: Instance, job: str) -> int:
    """Ask for a job until it is done: returns how many results it has."""
    with _client(instance) as client:
        return len(_poll(client, job)[0])


def offline(engine: str, asked: Sequence[str], tokens: int) -> Run:
    """The prompts answered by an engine without a server: `lab batch`, whose run it returns.

    Raises `NotebookError` if the engine ended before its time.
    """
    said = io.StringIO()
    console = Console(file=said, width=100, force_jupyter=False, force_terminal=False)
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "prompts.jsonl"
        lines = [json.dumps({"prompt": one, "output_tokens": tokens}) for one in asked]
        source.write_text("\n".join(lines) + "\n", encoding="utf-8")
        print(f"$ lab batch {engine} {source.name}   # {len(asked)} prompts")
        kind = services.find(engine)
        output = source.with_suffix(".answers.jsonl")
        outcome = offline_batch.batch(kind, source, output, console, settings={})
    if outcome.run is None or outcome.left:
        raise NotebookError(f"`lab batch` left {outcome.left} prompts: {said.getvalue()}")
    speed = units.show(outcome.run.summary["output_tokens_per_s"], "tok/s")
    print(f"{outcome.run.summary['requests']['ok']} answered, {speed}.")
    return outcome.run


def in_hand(*watched: Watched) -> go.Figure:
    """How many answers the client had (up) at each moment (right), a stair for each pattern."""
    lines = lines_for_runs([one.name for one in watched], dark=False)
    figure = go.Figure()
    for one in watched:
        figure.add_scatter(
            x=[0.0, *one.answered_s],
            y=list(range(len(one.answered_s) + 1)),
            name=one.name,
            mode="lines",
            line={"shape": "hv", "color": lines[one.name].colour, "dash": lines[one.name].dash},
            hovertemplate="%{y} answers after %{x:.3f} s",
        )
    figure.update_layout(common(_HEIGHT), hovermode="closest")
    figure.update_xaxes(title="since the client began", rangemode="tozero", **ticks("s"))
    return figure.update_yaxes(title="answers in hand", rangemode="tozero")


def table(*watched: Watched) -> pd.DataFrame:
    """One row a pattern: when the client was sure, had something, had everything."""
    rows = [
        {
            "taken by the server": units.show(one.accepted_s, "s"),
            "first answer": units.show(one.first_s, "s"),
            "last answer": units.show(one.last_s, "s"),
            "HTTP requests": one.requests,
        }
        for one in watched
    ]
    return pd.DataFrame(rows, index=[one.name for one in watched])


def _client(instance: Instance) -> httpx.Client:
    return httpx.Client(base_url=instance.base_url, timeout=_TIMEOUT_S, trust_env=False)


def _requests(asked: Sequence[str]) -> dict[str, list[dict[str, str]]]:
    return {"requests": [{"text": text} for text in asked]}


def _hand_in(client: httpx.Client, asked: Sequence[str]) -> str:
    answer = client.post("/jobs", json=_requests(asked)).raise_for_status()
    return str(answer.json()["id"])


def _poll(client: httpx.Client, job: str) -> tuple[list[object], int]:
    """The results, and how many questions it took."""
    deadline_s = time.monotonic() + _TIMEOUT_S
    for polls in range(1, 1_000_000):
        found = client.get(f"/jobs/{job}").raise_for_status().json()
        if found["status"] == "done":
            return found["results"], polls
        if time.monotonic() > deadline_s:
            break
        time.sleep(_POLL_S)
    raise NotebookError(f"The job {job} was not done within {_TIMEOUT_S:g} s.")
