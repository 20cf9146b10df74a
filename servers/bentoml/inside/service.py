"""The classifier as a BentoML service, in today's form: one class, one batched API.

`bentoml build` packs this file, `classifying.py` and the model into a bento (`bentofile.yaml`).
"""

from pathlib import Path

import bentoml
from classifying import Classifier, ids_or_refusal, respond, tokenizer
from pydantic import BaseModel
from starlette.responses import JSONResponse

MODEL = Path(__file__).parent / "model"
TOKENIZER = tokenizer(MODEL)


class Arguments(BaseModel):
    """What `bentoml build --arg NAME=VALUE` may set; the bento keeps it."""

    workers: int = 1
    threads: int = 1
    max_batch_size: int = 64
    max_latency_ms: int = 60_000


ARGUMENTS = bentoml.use_arguments(Arguments)


class Question(bentoml.IODescriptor):
    """The text of one request; in a batch, those of all its requests.

    BentoML would have every client send a list, and would refuse the whole batch for one bad
    text. Here a request is one text, and a bad one goes along as the reason why it is refused.
    """

    texts: list

    @classmethod
    async def from_http_request(cls, request, serde):
        """Read one request."""
        return cls.model_construct(texts=[ids_or_refusal(await request.body(), TOKENIZER)])


class Label(bentoml.IODescriptor):
    """The answer of one request."""

    @classmethod
    async def to_http_response(cls, obj, serde):
        """HTTP 400 for a text that was refused, 500 for one that could not be computed."""
        (found,) = obj
        status, document = respond(found)
        return JSONResponse(document, status)


@bentoml.service(
    name="classifier",
    workers=ARGUMENTS.workers,
    # The load test has its own records, and a line for each request has its price.
    logging={"access": {"enabled": False}},
)
class ClassifierService:
    """Each worker process holds the model and computes one batch at a time."""

    def __init__(self):
        self._classifier = Classifier(MODEL, ARGUMENTS.threads)

    @bentoml.api(
        route="/classify",
        input_spec=Question,
        output_spec=Label,
        # BentoML knows no batches of one.
        batchable=ARGUMENTS.max_batch_size > 1,
        max_batch_size=max(2, ARGUMENTS.max_batch_size),
        max_latency_ms=ARGUMENTS.max_latency_ms,
    )
    def classify(self, texts: list) -> list:
        """Logits, or what is wrong, for each of the texts that BentoML gathered."""
        return self._classifier.run_each(texts)
