"""The text classifier of the lab: a MiniLM encoder with a two-class head trained here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from servers.models.build import build

NAME = "sentiment-minilm"

EXAMPLES: tuple[dict[str, object], ...] = (
    {"input_ids": [101, *range(2000, 2016), 102]},
    {"input_ids": [101, *range(2000, 2126), 102]},
    {"text": "A warm-up that is a pleasure to read."},
)
"""What its servers may be asked: a short and a long text as token ids, and one as it is."""


def classifier(say: Callable[[str], object] = print) -> Path:
    """A folder with `model.onnx`, `tokenizer.json` and `card.json`; made once.

    The graph takes `input_ids` and `attention_mask` (INT64, [batch, sequence]) and gives `logits`
    (FP32, [batch, 2]; negative, positive). Pooling and normalisation are inside and use the mask,
    so padding does not change an answer. `card.json` has the measured held-out accuracy.
    """
    return build(NAME, "train_classifier.py", say)
