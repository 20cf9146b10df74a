"""The language model and its tokenizer, from a local folder or a Hugging Face id."""

from dataclasses import dataclass

import torch
from generating import choose_dtype, stop_ids
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer


@dataclass(frozen=True)
class Loaded:
    """A model in evaluation mode, its tokenizer, and the tokens that end an answer."""

    model: object
    tokenizer: object
    device: str
    stop_ids: frozenset
    special_ids: frozenset


def load(name, dtype):
    """Load `name`. Raises `ValueError` for attention that batches here would compute wrongly."""
    config = AutoConfig.from_pretrained(name)
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    if kinds != {"full_attention"}:
        raise ValueError(
            f"{name} has layers of {', '.join(sorted(kinds))}; requests can join a running batch "
            "here only where every layer attends to all that came before (full_attention)"
        )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(
        name, config=config, dtype=choose_dtype(dtype, device), attn_implementation="sdpa"
    )
    tokenizer = AutoTokenizer.from_pretrained(name)
    return Loaded(
        model=model.eval().to(device),
        tokenizer=tokenizer,
        device=device,
        stop_ids=stop_ids(model, tokenizer),
        special_ids=frozenset(tokenizer.all_special_ids),
    )
