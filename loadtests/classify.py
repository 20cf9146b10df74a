"""Text classification on Triton: token ids in, two logits out, no stream.

    locust -f loadtests/classify.py --headless -H 127.0.0.1:8001 -u 32 -r 32 -t 30s
    locust -f loadtests/classify.py --headless -H 127.0.0.1:8000 --transport http -u 32 -r 32 -t 30s

Lengths vary from request to request: evenly from 2 tokens to --prompt-tokens, or as the
distribution given there. That is what a batcher has to live with.
"""

import random

import numpy as np

from loadtests.infer import InferClient, Tensors, check_server
from loadtests.options import Options
from loadtests.protocols.contract import Target
from loadtests.talk import Talk
from loadtests.users import LoadUser
from loadtests.wire import REQUEST_ID_HEADER, Answer

# BERT's vocabulary: [CLS], [SEP], and the range in which the whole words are.
CLS, SEP, WORDS = 101, 102, range(1996, 28996)


class Classify(LoadUser):
    """Sends the next text as soon as the last one is classified."""

    protocols = ("kserve-infer",)

    @classmethod
    def find_target(cls, options: Options) -> Target:
        """The model asked for, or the lab's classifier."""
        return check_server(options, options.model or "text_classifier")

    def build(self, talk: Talk) -> tuple[str, Tensors]:
        """Its text: one row of token ids, with its mask; and what it is called."""
        options = self.session.options
        chosen = random.Random(f"text:{options.seed}:{talk.number}")
        asked = options.text_length
        tokens = (
            chosen.randint(2, max(2, int(asked.a)))
            if asked.kind == "fixed"
            else max(2, asked.draw(chosen))
        )
        words = chosen.choices(WORDS, k=tokens - 2)
        ids = np.array([[CLS, *words, SEP]], dtype=np.int64)
        tensors = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        return self.session.active.wire_id(talk.name), tensors

    def open(self) -> InferClient:
        """A client of its own for each user."""
        options = self.session.options
        return InferClient(options.host, options.transport, options.timeouts)

    def send(self, client: InferClient, request: tuple[str, Tensors], answer: Answer) -> None:
        """One inference."""
        called, tensors = request
        client.infer(
            self.session.target.model, client.prepare(tensors), "logits", answer,
            self.session.active.clock.now_s, headers={REQUEST_ID_HEADER.lower(): called},
        )  # fmt: skip
