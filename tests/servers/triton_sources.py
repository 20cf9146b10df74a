"""The parts of Triton's model code that need neither Triton nor torch, imported by path."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import servers.triton

MODELS = Path(servers.triton.__file__).parent / "models"


def source(path: str) -> ModuleType:
    """The module at `path` below the models' folder."""
    name = "triton_model_" + Path(path).stem
    spec = importlib.util.spec_from_file_location(name, MODELS / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
