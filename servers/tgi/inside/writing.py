"""From one request's tokens to its text, and to the reason why it ends."""

from tokenizers.decoders import DecodeStream

_CONTEXT = 5
"""Prompt tokens that go before an answer when it is decoded: some tokenizers join words there."""


class Writer:
    """The text of one answer, token by token.

    A token that ends in the middle of a character has no text until the character is whole. An
    answer ends at one of `stop_ids`, where its text contains one of `stop`, or at `most` tokens;
    like TGI, it keeps the stop string.
    """

    def __init__(self, tokenizer, prompt, stop_ids, stop, most):
        self._tokenizer = tokenizer
        self._before = list(prompt[-_CONTEXT:])
        self._stream = DecodeStream(ids=self._before, skip_special_tokens=False)
        self._stop_ids = stop_ids
        self._stop = stop
        self._longest_stop = max((len(one) for one in stop), default=0)
        self._tail = ""
        self._most = most
        self.ids = []

    def add(self, token):
        """The text that `token` adds, and why the answer ends with it (`None`: it goes on)."""
        self.ids.append(token)
        text = self._stream.step(self._tokenizer, token) or ""
        return text, self._reason(token, text)

    def text(self):
        """The whole answer without special tokens."""
        before = self._decode(self._before)
        return self._decode(self._before + self.ids)[len(before) :]

    def _reason(self, token, text):
        if token in self._stop_ids:
            return "eos_token"
        if self._stop:
            self._tail += text
            if any(one in self._tail for one in self._stop):
                return "stop_sequence"
            self._tail = self._tail[-self._longest_stop :]
        return "length" if len(self.ids) >= self._most else None

    def _decode(self, ids):
        return self._tokenizer.decode(ids, skip_special_tokens=True)
