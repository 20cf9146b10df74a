"""The parts of the TGI-compatible server that need no torch, imported as its folder imports them."""

import importlib
import sys
from types import ModuleType

from servers.tgi.launch import SERVER


def sources(*names: str) -> list[ModuleType]:
    """The modules of these names; no trace of their short names is left behind."""
    before = set(sys.modules)
    sys.path.insert(0, str(SERVER.parent))
    try:
        return [importlib.import_module(name) for name in names]
    finally:
        sys.path.remove(str(SERVER.parent))
        for name in set(sys.modules) - before:
            if str(SERVER.parent) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
