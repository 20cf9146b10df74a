"""Text classification over HTTP: one row of token ids in, a label's logits out, one JSON answer.

Two ways to write the same question. `classify` is the lab's own contract, which all its classifier
servers but Triton answer: `POST /classify` with `{"input_ids": [...]}`, answered with
`{"label": ..., "logits": [...]}`. `kserve-infer` is the KServe v2 inference protocol with JSON
tensors, as Triton takes it (triton-inference-server/server and KServe's `docs/predict-api/v2`).
"""

import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from loadtests.errors import StreamError
from loadtests.lengths import Length

# BERT's vocabulary: [CLS], [SEP], and the range in which the whole words are.
CLS, SEP, WORDS = 101, 102, range(1996, 28996)


def token_ids(seed: int, name: int | str, asked: Length) -> list[int]:
    """The text called `name`: words at random between [CLS] and [SEP], at least those two.

    A fixed length is the most: lengths are then even from 2 to it. That is what a batcher has to
    live with.
    """
    chosen = random.Random(f"text:{seed}:{name}")
    tokens = (
        chosen.randint(2, max(2, int(asked.a)))
        if asked.kind == "fixed"
        else max(2, asked.draw(chosen))
    )
    return [CLS, *chosen.choices(WORDS, k=tokens - 2), SEP]


@dataclass(frozen=True)
class ClassifyProtocol:
    """How to ask one classifier over HTTP, and what an answer of it is.

    `body` is the JSON to post to `path` of a model. `check` takes the document of an answer and
    raises `ValueError`, saying why, if it is none. `model` is what is asked for if nobody said.
    """

    name: str
    model: str
    path: Callable[[str], str]
    body: Callable[[Sequence[int]], dict[str, Any]]
    check: Callable[[Any], None]


def check_answer(protocol: ClassifyProtocol, body: bytes) -> None:
    """Raise `StreamError` of the kind `bad_answer` if this body of HTTP 200 is no answer."""
    try:
        protocol.check(json.loads(body))
    except (ValueError, RecursionError) as error:
        text = " ".join(body[:80].decode("utf-8", "replace").split())
        raise StreamError("bad_answer", f"{error}: {text or '(empty body)'}") from None


def error_text(document: Any) -> str | None:
    """The message in the body of a failed answer: `error`, `message` or `detail`, as text."""
    if not isinstance(document, dict):
        return None
    found = document.get("error") or document.get("message") or document.get("detail")
    if isinstance(found, dict):
        found = found.get("message") or json.dumps(found)
    return str(found) if found else None


def _check_label(document: Any) -> None:
    if not isinstance(document, dict) or not isinstance(document.get("label"), str):
        raise ValueError("no JSON object with a label")
    _check_numbers(document.get("logits"), "logits")


def _check_outputs(document: Any) -> None:
    outputs = document.get("outputs") if isinstance(document, dict) else None
    if not isinstance(outputs, list):
        raise ValueError("no JSON object with outputs")
    for output in outputs:
        if isinstance(output, dict) and output.get("name") == "logits":
            _check_numbers(output.get("data"), "logits")
            return
    raise ValueError("the answer has no output 'logits'")


def _check_numbers(values: Any, name: str) -> None:
    numbers = isinstance(values, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        for value in values
    )
    if not numbers or not values:
        raise ValueError(f"{name} is no list of numbers")


def _tensors(ids: Sequence[int]) -> dict[str, Any]:
    def tensor(name: str, values: Sequence[int]) -> dict[str, Any]:
        return {"name": name, "shape": [1, len(ids)], "datatype": "INT64", "data": list(values)}

    return {
        "inputs": [tensor("input_ids", ids), tensor("attention_mask", [1] * len(ids))],
        "outputs": [{"name": "logits"}],
    }


CLASSIFY = ClassifyProtocol(
    name="classify",
    model="classifier",
    path=lambda model: "/classify",
    body=lambda ids: {"input_ids": list(ids)},
    check=_check_label,
)
KSERVE_INFER = ClassifyProtocol(
    name="kserve-infer",
    model="text_classifier",
    path=lambda model: f"/v2/models/{quote(model, safe='')}/infer",
    body=_tensors,
    check=_check_outputs,
)
CLASSIFIERS = {protocol.name: protocol for protocol in (KSERVE_INFER, CLASSIFY)}
