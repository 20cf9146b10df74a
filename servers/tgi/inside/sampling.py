"""How one request's next token is chosen, with transformers' own processors of logits.

Every request has its own chooser, so requests of one batch do not share a temperature or a seed.
"""

import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)


class FrequencyPenalty(LogitsProcessor):
    """Takes `penalty` from a token's logit for each time it stands in the text so far.

    That is the definition of the OpenAI API, whose words TGI's document repeats.
    """

    def __init__(self, penalty):
        self.penalty = penalty

    def __call__(self, input_ids, scores):
        """The scores ([1, vocabulary]) after the ids ([1, n])."""
        counts = torch.bincount(input_ids[0], minlength=scores.shape[-1])[: scores.shape[-1]]
        return scores - self.penalty * counts


class Chooser:
    """One request's choice of tokens: the most likely one, or drawn with the request's seed.

    `plain` says that nothing but the logits decides, so the whole batch can be asked at once.
    """

    def __init__(self, choosing, device):
        self._processors = LogitsProcessorList(_processors(choosing))
        self._generator = None
        self.seed = None
        if choosing.sampling:
            self._generator = torch.Generator(device=device).manual_seed(choosing.seed)
            self.seed = choosing.seed
        self.plain = not self._processors and self._generator is None

    def scores(self, ids, logits):
        """The logits ([1, vocabulary]) as the request wants them after `ids` ([1, n])."""
        return self._processors(ids, logits)

    def choose(self, scores):
        """A token of `scores`. Raises `ValueError` where they are no distribution."""
        if self._generator is None:
            return int(scores.argmax(-1))
        chances = torch.softmax(scores, -1)
        if not bool(torch.isfinite(chances).all()):
            raise ValueError("these parameters leave no token with a probability")
        return int(torch.multinomial(chances, 1, generator=self._generator))


def _processors(choosing):
    """In TGI's order: penalties, temperature, then what cuts the tail off."""
    if choosing.repetition_penalty != 1.0:
        yield RepetitionPenaltyLogitsProcessor(choosing.repetition_penalty)
    if choosing.frequency_penalty:
        yield FrequencyPenalty(choosing.frequency_penalty)
    if not choosing.sampling:
        return
    if choosing.temperature != 1.0:
        yield TemperatureLogitsWarper(choosing.temperature)
    if choosing.top_k:
        yield TopKLogitsWarper(choosing.top_k)
    if choosing.top_p < 1.0:
        yield TopPLogitsWarper(choosing.top_p)
    if choosing.typical_p < 1.0:
        yield TypicalLogitsWarper(choosing.typical_p)
