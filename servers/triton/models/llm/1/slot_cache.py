"""Keys and values of the running sequences, in one buffer a layer: row i holds sequence i.

Every sequence begins in column 0 of its row, so a new one joins, and a finished one leaves,
without moving the others: no padding on the left, no concatenation (which would copy the whole
cache at every token, as transformers' `DynamicCache` does).
"""

import numpy as np
import torch


class SlotCache:
    """What transformers' attention layers call a cache: `update` stores and returns.

    `rows` sequences of at most `length` tokens. Use `prefill` or `decode` to say which rows the
    next forward pass belongs to.
    """

    is_compileable = False

    def __init__(self, config, rows, length, dtype, device):
        head_size = getattr(config, "head_dim", None) or (
            config.hidden_size // config.num_attention_heads
        )
        shape = (rows, config.num_key_value_heads, length, head_size)
        layers = range(config.num_hidden_layers)
        self._keys = [_zeros(shape, dtype, device) for _ in layers]
        self._values = [_zeros(shape, dtype, device) for _ in layers]
        self._rows = slice(0)
        self._columns = None

    def prefill(self, first, count):
        """The next pass brings the prompts of rows `first` … `first + count - 1`."""
        self._rows, self._columns = slice(first, first + count), None

    def decode(self, lengths):
        """The next pass brings one token of each row; row i holds `lengths[i]` tokens so far."""
        self._rows, self._columns = torch.arange(len(lengths), device=lengths.device), lengths
        self._width = int(lengths.max()) + 1

    def update(self, key, value, layer, *_, **__):
        """Store new keys and values ([rows, heads, tokens, size]); return all to attend to."""
        keys, values = self._keys[layer], self._values[layer]
        if self._columns is None:
            keys[self._rows, :, : key.shape[2]] = key
            values[self._rows, :, : key.shape[2]] = value
            return key, value
        keys[self._rows, :, self._columns] = key[:, :, 0]
        values[self._rows, :, self._columns] = value[:, :, 0]
        count = len(self._columns)
        return keys[:count, :, : self._width], values[:count, :, : self._width]

    def move(self, source, target, length):
        """Copy the first `length` tokens of row `source` over row `target`."""
        for buffer in (*self._keys, *self._values):
            buffer[target, :, :length] = buffer[source, :, :length]

    def get_seq_length(self, layer=0):
        """Tokens before this pass that every row shares: none, rows differ."""
        return 0

    def get_query_offset(self, layer=0):
        """Position of a prefill's first token."""
        return 0

    def get_mask_sizes(self, query_length, layer=0):
        """Length and offset of the keys in a prefill (a decode pass brings its own mask)."""
        return query_length, 0


def _zeros(shape, dtype, device):
    """Zeros that cost no memory until they are written, on a CPU.

    Not `torch.empty`: a NaN left in unused columns would survive its weight of 0.
    """
    if device != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    size = torch.finfo(dtype).bits // 8
    raw = np.zeros((*shape[:-1], shape[-1] * size), dtype=np.uint8)
    return torch.from_numpy(raw).view(dtype)
