"""Triton's model repository: which models there are, of which files (pure), and writing them."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from servers.contract import Value
from servers.locks import write_atomically
from servers.triton.layout import copy

CLASSIFIER = "text_classifier"
LLM = "llm"


@dataclass(frozen=True)
class Model:
    """The files of one model by their path in its folder: texts to write, files to copy."""

    texts: Mapping[str, str]
    copies: Mapping[str, Path]


def chosen(settings: Mapping[str, Value]) -> tuple[str, ...]:
    """The models these settings load."""
    which = settings["models"]
    return (LLM, CLASSIFIER) if which == "both" else (str(which),)


def write(folder: Path, models: Mapping[str, Model]) -> None:
    """Make `folder` the repository of exactly these models; what else was there goes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, model in models.items():
        write_model(folder / name, model)


def write_model(folder: Path, model: Model) -> None:
    """Write one model's files. A running server may be reading them: none is ever half there."""
    (folder / "1").mkdir(parents=True, exist_ok=True)
    for path, source in model.copies.items():
        copy(source, folder / path)
    for path, content in model.texts.items():
        write_atomically(folder / path, content)
