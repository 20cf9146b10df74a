"""Text classification on Triton: token ids in, two logits out, no stream.

    locust -f loadtests/classify.py --headless -H 127.0.0.1:8001 -u 32 -r 32 -t 30s
    locust -f loadtests/classify.py --headless -H 127.0.0.1:8000 --transport http -u 32 -r 32 -t 30s

Lengths vary from request to request, evenly from 2 tokens to --prompt-tokens: what a batcher has
to live with.
"""

import random
from typing import Any

import numpy as np

from loadtests.infer import InferClient, check_server
from loadtests.options import Options
from loadtests.users import LoadUser
from loadtests.wire import Answer

# BERT's vocabulary: [CLS], [SEP], and the range in which the whole words are.
CLS, SEP, WORDS = 101, 102, range(1996, 28996)


class Classify(LoadUser):
    """Sends the next text as soon as the last one is classified."""

    protocols = ("kserve-infer",)

    @classmethod
    def find_model(cls, options: Options) -> str:
        """The model asked for, or the lab's classifier."""
        return check_server(options, options.model or "text_classifier")

    def build(self, number: int) -> dict[str, Any]:
        """Text `number`: one row of token ids, with its mask."""
        options = self.session.options
        chosen = random.Random(f"text:{options.seed}:{number}")
        words = chosen.choices(WORDS, k=chosen.randint(0, max(0, options.prompt_tokens - 2)))
        ids = np.array([[CLS, *words, SEP]], dtype=np.int64)
        return {"input_ids": ids, "attention_mask": np.ones_like(ids)}

    def open(self) -> InferClient:
        """A client of its own for each user."""
        options = self.session.options
        return InferClient(options.host, options.transport, options.timeouts)

    def send(self, client: InferClient, request: dict[str, Any], answer: Answer) -> None:
        """One inference."""
        inputs = client.prepare(request)
        client.infer(self.session.model, inputs, "logits", answer, self.session.active.clock.now_s)
