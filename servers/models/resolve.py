"""What a person may give as `--model` to an engine that serves language models."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from servers.errors import ServerError
from servers.models.build import build

HUGGING_FACE_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")
ACCEPTED = (
    "Accepted are: nothing (SmolLM2-135M-Instruct, made by the lab), `tiny` (a tiny random Llama "
    "for quick tests), a folder in Hugging Face's layout, or a Hugging Face id such as "
    "`Qwen/Qwen2.5-0.5B-Instruct`"
)


def smollm2(say: Callable[[str], object] = print) -> Path:
    """SmolLM2-135M-Instruct as a Hugging Face folder (bfloat16, chat template); made once."""
    return build("SmolLM2-135M-Instruct", "convert_smollm2.py", say)


def tiny_llama(say: Callable[[str], object] = print) -> Path:
    """A 2-layer random Llama with SmolLM2's tokenizer, for tests; made once."""
    return build("tiny-llama", "make_tiny_llama.py", say)


def resolve_llm(name: str | None, say: Callable[[str], object] = print) -> str:
    """The user's `--model` as a checked folder or a Hugging Face id.

    `None` means SmolLM2, `tiny` the random Llama. A Hugging Face id is passed on as it is: only
    the engine can tell whether it can be had. Raises `ServerError` for anything else, naming
    what is missing in a folder.
    """
    if name is None:
        return str(smollm2(say))
    if name == "tiny":
        return str(tiny_llama(say))
    folder = Path(name).expanduser()
    if name and folder.is_dir():
        check_folder(folder)
        return str(folder.resolve())
    if HUGGING_FACE_ID.fullmatch(name) and not folder.exists():
        return name
    found = "is a file, not a folder" if folder.is_file() else "is neither a folder nor an id"
    raise ServerError(f"The model {name!r} {found}. {ACCEPTED}.")


def check_folder(folder: Path) -> None:
    """Raises `ServerError` naming everything that keeps `folder` from being a model."""
    missing = [*_config_faults(folder), *_weight_faults(folder)]
    if not any((folder / tokenizer).is_file() for tokenizer in TOKENIZERS):
        missing.append(f"a tokenizer (one of {', '.join(TOKENIZERS)})")
    if missing:
        raise ServerError(
            f"The folder {folder} is not a model in Hugging Face's layout. It lacks: "
            f"{'; '.join(missing)}. {ACCEPTED}."
        )


def _config_faults(folder: Path) -> list[str]:
    path = folder / "config.json"
    if not path.is_file():
        return ["config.json"]
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        return [f"a readable config.json (it is not JSON: {error})"]
    if not isinstance(config, dict) or not config.get("architectures"):
        return ["`architectures` in config.json, which says what kind of model this is"]
    return []


def _weight_faults(folder: Path) -> list[str]:
    """Weights are one file, or the shards that an index names."""
    for pattern in ("*.safetensors", "*.bin"):
        for index in folder.glob(f"{pattern}.index.json"):
            return _shard_faults(folder, index)
        if any(folder.glob(pattern)):
            return []
    return ["weights (*.safetensors or *.bin)"]


def _shard_faults(folder: Path, index: Path) -> list[str]:
    try:
        shards = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError):
        return [f"a readable {index.name}"]
    absent = sorted(shard for shard in shards if not (folder / str(shard)).is_file())
    return [f"the weights {', '.join(absent)} that {index.name} names"] if absent else []
