"""From the flags of prompts, answers and turns to the workload. Pure but for reading a dataset."""

import random
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from loadtests.datasets import read_dataset
from loadtests.errors import LoadError
from loadtests.lengths import MOST_TOKENS, Length
from loadtests.prompts import Tokenizer
from loadtests.protocols.classify import CLASSIFIERS
from loadtests.traces import Trace
from loadtests.workload import FromDataset, Prefixes, Synthetic, Workload
from measure.durations import parse_duration_s
from measure.errors import MeasureError

CHAT = "openai-chat"
USUAL_PROMPT = Length("fixed", 128)
USUAL_OUTPUT = Length("fixed", 64)


@dataclass(frozen=True)
class PromptFlags:
    """The flags of what is asked, as they were written; `None` where one was not."""

    prompt_tokens: str | None = None
    output_tokens: str | None = None
    shared_prefix_tokens: str | None = None
    prefixes: str | None = None
    dataset: str | None = None
    turns: str | None = None
    think_time: str | None = None

    def argv(self) -> list[str]:
        """The same flags for a command line."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return [word for name, value in given.items() for word in (_flag(name), value)]


@dataclass(frozen=True)
class ThinkTime:
    """How long a user thinks between an answer and the next turn: `fixed`, or `exponential`."""

    kind: Literal["fixed", "exponential"] = "fixed"
    mean_s: float = 0.0

    @classmethod
    def parse(cls, text: str) -> "ThinkTime":
        """Read `2s` or `exponential:2s`.

        Raises:
            LoadError: it is neither.
        """
        kind, _, amount = text.rpartition(":")
        try:
            mean_s = parse_duration_s(amount)
        except MeasureError as error:
            raise LoadError(f"--think-time: {error}") from None
        if kind not in ("", "exponential"):
            raise LoadError(
                f"--think-time {text} is not understood: write 2s, or exponential:2s for times "
                "that are drawn with that mean."
            )
        return cls("exponential" if kind else "fixed", mean_s)

    def draw_s(self, seed: int, number: int, turn: int) -> float:
        """The time before turn `turn` of conversation `number`."""
        if self.kind == "fixed" or not self.mean_s:
            return self.mean_s
        chosen = random.Random(f"think:{seed}:{number}.{turn}")
        return chosen.expovariate(1 / self.mean_s)


@dataclass(frozen=True)
class Asking:
    """What is asked and how users behave. `facts` are the manifest's `load.prompt`."""

    workload: Workload
    think_time: ThinkTime
    facts: dict[str, Any]


def asking_of(
    flags: PromptFlags,
    *,
    protocol: str | None,
    seed: int = 0,
    tokenizer: Tokenizer | None = None,
    trace: Trace | None = None,
) -> Asking:
    """What is asked for. A `protocol` of `None` is not known yet: what needs chat is let pass.

    Raises:
        LoadError: what was written cannot be meant, or the dataset cannot be read.
    """
    must_fit(flags, protocol, of_trace=trace is not None)
    turns = _whole(flags, "turns")
    prompt, output = (
        Length.parse(text, _flag(name)) if (text := getattr(flags, name)) is not None else None
        for name in ("prompt_tokens", "output_tokens")
    )
    workload: Workload
    if flags.dataset is not None:
        workload = FromDataset(
            read_dataset(Path(flags.dataset)),
            seed,
            output=output,
            otherwise=USUAL_OUTPUT,
            tokenizer=tokenizer,
            # Other protocols have no history: of a conversation they ask how it begins.
            most_turns=turns if protocol in (CHAT, None) else 1,
        )
    else:
        workload = Synthetic(
            prompt or (None if trace else USUAL_PROMPT),
            output or (None if trace else USUAL_OUTPUT),
            seed,
            tokenizer,
            turns=turns or 1,
            prefixes=_prefixes(flags),
            trace=trace,
        )
    think_time = ThinkTime.parse(flags.think_time) if flags.think_time else ThinkTime()
    facts = dict(workload.prompt_facts)
    if workload.several_turns:
        facts |= {"turns": turns} if turns and flags.dataset is None else {}
        facts["think_time"] = asdict(think_time)
    elif flags.think_time is not None:
        raise LoadError(
            "--think-time is the time between an answer and the next turn, and no conversation "
            "here has a second turn: add --turns N, or leave it out."
        )
    return Asking(workload, think_time, facts)


def must_fit(flags: PromptFlags, protocol: str | None, *, of_trace: bool) -> None:
    """Raise `LoadError` if the flags cannot be meant together, or in this protocol."""
    turns = _whole(flags, "turns") or 1
    if turns > 1 and protocol not in (CHAT, None):
        raise LoadError(
            f"--turns {turns} makes conversations, and only chat has them: {protocol} takes one "
            "prompt and knows no history. Use loadtests/chat.py with --protocol openai-chat, or "
            "leave --turns out."
        )
    if protocol in CLASSIFIERS:
        for name in ("dataset", "shared_prefix_tokens"):
            if getattr(flags, name) is not None:
                raise LoadError(f"{_flag(name)} is of text, and a classifier takes token ids.")
    if flags.dataset is not None:
        for name in ("prompt_tokens", "shared_prefix_tokens", "prefixes"):
            if getattr(flags, name) is not None:
                raise LoadError(
                    f"{_flag(name)} does not go with --dataset, whose prompts are as they are."
                )
    elif of_trace and flags.prompt_tokens is None:
        for name in ("turns", "shared_prefix_tokens"):
            if getattr(flags, name) is not None:
                raise LoadError(
                    f"{_flag(name)} does not go with the trace's own prompts. Add --prompt-tokens "
                    "to take only its times and the lengths of its answers."
                )
    if flags.prefixes is not None and flags.shared_prefix_tokens is None:
        raise LoadError("--prefixes says how many, and --shared-prefix-tokens how long: give both.")


def _prefixes(flags: PromptFlags) -> Prefixes | None:
    tokens = _whole(flags, "shared_prefix_tokens")
    return None if tokens is None else Prefixes(tokens, _whole(flags, "prefixes") or 1)


def _whole(flags: PromptFlags, name: str) -> int | None:
    text = getattr(flags, name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MOST_TOKENS:
        raise LoadError(f"{_flag(name)} {text} is no whole number from 1 to {MOST_TOKENS}.")
    return int(text)


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
