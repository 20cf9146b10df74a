"""Requests that are computed together: TGI's padded batch over transformers' `DynamicCache`.

Rows begin with padding, so that all end in the same column, where the next token goes. A batch
that was prefilled joins a running one by padding the shorter of the two on the left; rows that
have ended are taken out, and with them the padding that only they needed.
"""

import torch
from transformers import DynamicCache


class Batch:
    """Sequences, their cached keys and values, and which columns of a row are padding.

    A sequence has `ids` (prompt and answer so far) and `most_tokens` (what it may grow to).
    """

    def __init__(self, model, sequences, cache, mask):
        self._model = model
        self.sequences = sequences
        self._cache = cache
        self._mask = mask

    def __len__(self):
        return len(self.sequences)

    @property
    def max_tokens(self):
        """Columns that this batch can come to hold, padding included."""
        longest = max(one.most_tokens - len(one.ids) for one in self.sequences)
        return len(self) * (self._mask.shape[1] + longest)

    @classmethod
    @torch.inference_mode()
    def prefill(cls, model, sequences):
        """A batch of new sequences, and the logits ([rows, vocabulary]) of their next tokens."""
        longest = max(len(one.ids) for one in sequences)
        padding = [longest - len(one.ids) for one in sequences]
        ids = [[0] * pad + one.ids for pad, one in zip(padding, sequences, strict=True)]
        mask = [[0] * pad + [1] * (longest - pad) for pad in padding]
        mask = torch.tensor(mask, device=model.device)
        batch = cls(model, list(sequences), DynamicCache(config=model.config), mask)
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        return batch, batch._forward(torch.tensor(ids), positions)

    @torch.inference_mode()
    def decode(self):
        """The logits ([rows, vocabulary]) of every row's next token."""
        column = torch.ones((len(self), 1), dtype=self._mask.dtype, device=self._mask.device)
        self._mask = torch.cat([self._mask, column], dim=1)
        ids = torch.tensor([[one.ids[-1]] for one in self.sequences])
        positions = torch.tensor([[len(one.ids) - 1] for one in self.sequences])
        return self._forward(ids, positions)

    @torch.inference_mode()
    def join(self, other):
        """Take the rows of `other`, whose last token is not computed yet, as ours is not."""
        length = max(self._mask.shape[1], other._mask.shape[1])
        self._widen(length)
        other._widen(length)
        for ours, theirs in zip(self._cache.layers, other._cache.layers, strict=True):
            ours.keys = torch.cat([ours.keys, theirs.keys])
            ours.values = torch.cat([ours.values, theirs.values])
        self._mask = torch.cat([self._mask, other._mask])
        self.sequences += other.sequences

    @torch.inference_mode()
    def keep(self, sequences):
        """Take out every other row, and the columns that are padding in all that stay."""
        stay = set(map(id, sequences))
        rows = [row for row, one in enumerate(self.sequences) if id(one) in stay]
        if len(rows) == len(self):
            return
        self.sequences = [self.sequences[row] for row in rows]
        if not rows:
            return
        self._mask = self._mask[rows]
        first = int(self._mask.argmax(dim=1).min())
        self._mask = self._mask[:, first:]
        for layer in self._cache.layers:
            layer.keys = layer.keys[rows][:, :, first:]
            layer.values = layer.values[rows][:, :, first:]

    def _widen(self, length):
        more = length - self._mask.shape[1]
        if not more:
            return
        self._mask = torch.nn.functional.pad(self._mask, (more, 0))
        for layer in self._cache.layers:
            layer.keys = torch.nn.functional.pad(layer.keys, (0, 0, more, 0))
            layer.values = torch.nn.functional.pad(layer.values, (0, 0, more, 0))

    def _forward(self, ids, positions):
        return (
            self._model(
                input_ids=ids.to(self._model.device),
                position_ids=positions.to(self._model.device),
                attention_mask=self._mask,
                past_key_values=self._cache,
                use_cache=True,
                logits_to_keep=1,
            )
            .logits[:, -1]
            .float()
        )
