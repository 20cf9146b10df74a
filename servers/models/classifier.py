"""The text classifier of the lab: a MiniLM encoder with a two-class head trained here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from servers.contract import Request, WarmRequest
from servers.models.build import build

NAME = "sentiment-minilm"


def classifier(say: Callable[[str], object] = print) -> Path:
    """A folder with `model.onnx`, `tokenizer.json` and `card.json`; made once.

    The graph takes `input_ids` and `attention_mask` (INT64, [batch, sequence]) and gives `logits`
    (FP32, [batch, 2]; negative, positive). Pooling and normalisation are inside and use the mask,
    so padding does not change an answer. `card.json` has the measured held-out accuracy.
    """
    return build(NAME, "train_classifier.py", say)


def warm_requests(_request: Request) -> tuple[WarmRequest, ...]:
    """For a server of it at `/classify`: a short and a long text as token ids, and one as it is."""
    return (
        WarmRequest("/classify", {"input_ids": [101, *range(2000, 2016), 102]}),
        WarmRequest("/classify", {"input_ids": [101, *range(2000, 2126), 102]}),
        WarmRequest("/classify", {"text": "A warm-up that is a pleasure to read."}),
    )
