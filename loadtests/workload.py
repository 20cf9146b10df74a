"""What is asked: conversation `number` of a run, turn by turn. Pure.

A conversation of one turn is a plain request. Everything drawn depends on the seed and the
conversation's number alone, so that it is the same whoever asks it and whatever was asked before.

Either kind of workload has `prompt_facts` and `output_facts` for the manifest's `load.prompt` and
`load.output_tokens`; `several_turns`, if answers must be kept for what is asked next; `size`, how
many different conversations there are (`None` without end); and `typical_tokens`, a usual length.
"""

import random
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from loadtests.datasets import Dataset
from loadtests.lengths import Length
from loadtests.prompts import Tokenizer, text_of
from loadtests.trace_formats import BLOCK_TOKENS
from loadtests.traces import Trace

_KEPT_TEXTS = 8192


@dataclass(frozen=True, slots=True)
class Turn:
    """What a user says, and how many tokens the answer shall have.

    `system` are instructions that stand before it (in chat).
    """

    prompt: str
    output_tokens: int
    system: str | None = None


@dataclass(frozen=True)
class Prefixes:
    """`count` beginnings of `tokens` tokens, one of which every conversation has."""

    tokens: int
    count: int


class Synthetic:
    """Words at random, with the lengths asked for or those of a trace.

    `prompt` or `output` of `None` take the trace's lengths; the trace's blocks then make the
    prompts where it has them. With `prefixes` a first prompt is one of them (chosen evenly) and,
    after it, as many tokens as without.
    """

    size: int | None = None

    def __init__(
        self,
        prompt: Length | None,
        output: Length | None,
        seed: int,
        tokenizer: Tokenizer | None = None,
        *,
        turns: int = 1,
        prefixes: Prefixes | None = None,
        trace: Trace | None = None,
    ) -> None:
        self._prompt = prompt
        self._output = output
        self._seed = seed
        self._tokenizer = tokenizer
        self._turns = turns
        self._prefixes = prefixes
        self._trace = trace
        # Made once for all that share them.
        self._piece = lru_cache(_KEPT_TEXTS)(self._make_piece)
        self.several_turns = turns > 1
        self.prompt_facts = self._facts()
        self.output_facts = "trace" if output is None else output.fact()
        self.typical_tokens = prefixes.tokens if prefixes else 0
        if prompt is not None:
            self.typical_tokens += prompt.typical
        elif trace is not None:
            self.typical_tokens += int(sorted(trace.prompt_tokens)[len(trace.prompt_tokens) // 2])

    def turn(self, number: int, turn: int = 0) -> Turn | None:
        """Turn `turn` of conversation `number`."""
        if turn >= self._turns:
            return None
        name = f"{number}.{turn}" if turn else str(number)
        chosen = random.Random(f"prompt:{self._seed}:{name}")
        tokens = self._length(self._prompt, "prompt_tokens", number, chosen)
        output_tokens = self._length(self._output, "output_tokens", number, chosen)
        before = ""
        if self._prefixes is not None and turn == 0:
            which = random.Random(f"prefix:{self._seed}:{number}").randrange(self._prefixes.count)
            before = self._piece("prefix", which, self._prefixes.tokens)
            tokens += self._prefixes.tokens
        ids = self._trace.block_ids(number) if self._prompt is None and self._trace else []
        if not ids:
            return Turn(text_of(tokens, chosen, self._tokenizer, before), output_tokens)
        before = " ".join(self._piece("block", one, BLOCK_TOKENS) for one in ids[:-1])
        # The last block too is the same for all that share it.
        chosen = random.Random(f"block:{self._seed}:{ids[-1]}")
        return Turn(text_of(tokens, chosen, self._tokenizer, before), output_tokens)

    def _length(self, asked: Length | None, column: str, number: int, chosen: random.Random) -> int:
        if asked is not None:
            return asked.draw(chosen)
        assert self._trace is not None
        return int(getattr(self._trace, column)[number])

    def _make_piece(self, kind: str, which: int, tokens: int) -> str:
        return text_of(tokens, random.Random(f"{kind}:{self._seed}:{which}"), self._tokenizer)

    def _facts(self) -> dict[str, Any]:
        exact = {"exact": self._tokenizer is not None}
        if self._prompt is None:
            assert self._trace is not None
            return {"kind": "trace", **exact, "shared_blocks": self._trace.blocks is not None}
        facts = {"kind": "synthetic", "tokens": self._prompt.fact(), **exact}
        if self._prefixes is not None:
            facts["shared_prefix_tokens"] = self._prefixes.tokens
            facts["prefixes"] = self._prefixes.count
        return facts


class FromDataset:
    """A dataset's conversations in an order that the seed chooses, again and again if need be.

    The length of an answer is `output` if that is given; else what the file says; else, with a
    tokenizer, that of the recorded answer; else `otherwise`. `most_turns` cuts conversations off.
    """

    def __init__(
        self,
        dataset: Dataset,
        seed: int,
        *,
        output: Length | None,
        otherwise: Length,
        tokenizer: Tokenizer | None = None,
        most_turns: int | None = None,
    ) -> None:
        self._conversations = dataset.conversations
        self._order = list(range(len(dataset.conversations)))
        random.Random(f"dataset:{seed}").shuffle(self._order)
        self._seed = seed
        self._output = output
        self._otherwise = otherwise
        self._tokenizer = tokenizer
        self._most_turns = most_turns
        longest = max(len(one.turns) for one in dataset.conversations)
        turns = longest if most_turns is None else min(longest, most_turns)
        self.size: int | None = len(self._order)
        self.several_turns = turns > 1
        self.prompt_facts = {"kind": "dataset", **dataset.facts, "most_turns": turns}
        self.output_facts = (
            {"kind": "dataset", "otherwise": otherwise.fact()} if output is None else output.fact()
        )
        self.typical_tokens = len(self._conversations[self._order[0]].turns[0].prompt.split())

    def turn(self, number: int, turn: int = 0) -> Turn | None:
        """Turn `turn` of conversation `number`."""
        conversation = self._conversations[self._order[number % len(self._order)]]
        if turn >= len(conversation.turns) or turn == self._most_turns:
            return None
        said = conversation.turns[turn]
        tokens = conversation.output_tokens
        if self._output is not None or (tokens is None and not (said.answer and self._tokenizer)):
            chosen = random.Random(f"output:{self._seed}:{number}.{turn}")
            tokens = (self._output or self._otherwise).draw(chosen)
        elif tokens is None:
            assert self._tokenizer is not None and said.answer is not None
            tokens = max(1, len(self._tokenizer.ids(said.answer)))
        return Turn(said.prompt, tokens, said.system)


Workload = Synthetic | FromDataset
