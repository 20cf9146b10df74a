"""Continuous batching: sequences join and leave the batch at every token.

A step either computes the prompts of sequences that can join (prefill), or the next token of
every running one (decode). A long answer therefore never keeps a short one waiting; requests
wait only for a free row, in the order they came. Orca (Yu et al., OSDI 2022) calls this
iteration-level scheduling.
"""

from collections import deque
from dataclasses import dataclass, field

import torch
from slot_cache import SlotCache


@dataclass(eq=False)
class Sequence:
    """One request in the batcher. `owner` is whatever the caller wants to find again."""

    prompt: list
    max_tokens: int
    temperature: float
    stop_ids: frozenset
    owner: object = None
    length: int = 0
    generated: int = 0
    last: int = 0
    finish_reason: str = ""
    cancelled: bool = False


@dataclass
class Step:
    """What a step did: sequences that got a token (in `last`), those that joined in it."""

    advanced: list = field(default_factory=list)
    joined: list = field(default_factory=list)
    tokens: int = 0


class Batcher:
    """Runs up to `max_num_seqs` sequences of one causal language model together.

    Not thread-safe: one thread adds and steps. Shapes: `prompt` is a list of token ids, prompt
    and answer together at most `max_model_len`.
    """

    def __init__(self, model, *, max_num_seqs, max_model_len, max_num_batched_tokens):
        self.model = model
        self.device = str(model.device)
        self.max_num_seqs = max_num_seqs
        self.max_num_batched_tokens = max_num_batched_tokens
        self.waiting = deque()
        self.running = []
        self._cache = SlotCache(model.config, max_num_seqs, max_model_len, model.dtype, self.device)

    def add(self, sequence):
        """Queue a sequence; it joins when a row is free."""
        self.waiting.append(sequence)

    def drop_cancelled(self):
        """Take out the sequences marked cancelled, wherever they are; returns them."""
        gone = [one for one in (*self.waiting, *self.running) if one.cancelled]
        self.waiting = deque(one for one in self.waiting if not one.cancelled)
        self._remove([one for one in self.running if one.cancelled])
        return gone

    def clear(self):
        """Forget everything (after an error in a step); returns what was in here."""
        everything = [*self.running, *self.waiting]
        self.running.clear()
        self.waiting.clear()
        return everything

    def joinable(self):
        """The waiting sequences the next prefill takes: rows are free, tokens within budget.

        Prompts are padded to the longest of the group, and padding costs time like tokens. The
        first one is always taken, however long it is.
        """
        group, longest = [], 0
        for one in self.waiting:
            longest = max(longest, len(one.prompt))
            full = len(self.running) + len(group) >= self.max_num_seqs
            if full or (group and longest * (len(group) + 1) > self.max_num_batched_tokens):
                break
            group.append(one)
        return group

    @torch.inference_mode()
    def step(self):
        """One forward pass, a token for each sequence in it; finished ones leave."""
        group = self.joinable()
        step = self._prefill(group) if group else self._decode()
        for one in step.advanced:
            one.generated += 1
            if one.last in one.stop_ids:
                one.finish_reason = "stop"
            elif one.generated >= one.max_tokens:
                one.finish_reason = "length"
        self._remove([one for one in step.advanced if one.finish_reason])
        return step

    def _prefill(self, group):
        """Prompts side by side, padded on the right, where causal attention never looks."""
        for _ in group:
            self.waiting.popleft()
        first = len(self.running)
        self.running += group
        longest = max(len(one.prompt) for one in group)
        padded = [one.prompt + [0] * (longest - len(one.prompt)) for one in group]
        self._cache.prefill(first, len(group))
        hidden = self._forward(torch.tensor(padded), torch.arange(longest)[None], None)
        last = torch.tensor([len(one.prompt) - 1 for one in group], device=self.device)
        rows = torch.arange(len(group), device=self.device)
        self._choose(group, hidden[rows, last])
        for one in group:
            one.length = len(one.prompt)
        return Step(list(group), list(group), sum(len(one.prompt) for one in group))

    def _decode(self):
        batch = list(self.running)
        lengths = torch.tensor([one.length for one in batch], device=self.device)
        self._cache.decode(lengths)
        columns = torch.arange(int(lengths.max()) + 1, device=self.device)
        mask = (columns[None] <= lengths[:, None])[:, None, None]
        ids = torch.tensor([[one.last] for one in batch])
        hidden = self._forward(ids, lengths[:, None], mask)
        self._choose(batch, hidden[:, 0])
        for one in batch:
            one.length += 1
        return Step(batch, [], len(batch))

    def _forward(self, ids, positions, mask):
        return self.model.base_model(
            input_ids=ids.to(self.device),
            position_ids=positions.to(self.device),
            attention_mask=mask,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state

    def _choose(self, batch, hidden):
        """The next token of each row: the most likely one at temperature 0, else drawn."""
        logits = self.model.get_output_embeddings()(hidden).float()
        tokens = logits.argmax(-1)
        for row, one in enumerate(batch):
            if one.temperature > 0:
                chances = torch.softmax(logits[row] / one.temperature, -1)
                tokens[row] = torch.multinomial(chances, 1)[0]
        for one, token in zip(batch, tokens.tolist(), strict=True):
            one.last = token

    def _remove(self, leaving):
        """Free the rows of `leaving`; the last running sequence moves into each hole."""
        for one in leaving:
            row = self.running.index(one)
            mover = self.running.pop()
            if mover is not one:
                self._cache.move(len(self.running), row, mover.length)
                self.running[row] = mover
