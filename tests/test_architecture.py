"""The rooms and their floors: imports run downwards only."""

import ast
from pathlib import Path

import pytest

from servers.catalog import ENGINES

ROOT = Path(__file__).resolve().parent.parent
EVERYTHING = {"measure", "servers", "loadtests", "dashboard", "lab", "notebooks", "benchmarks"}
# What each room may import besides itself. A name with dots allows that module and no other.
ALLOWED = {
    "measure": set(),
    "servers": set(),
    "loadtests": {"measure"},
    "dashboard": {
        "measure",
        "servers.catalog",
        "servers.contract",
        "servers.instances",
        "servers.paths",
        "servers.knobs",
        "servers.errors",
    },
    "lab": {"measure", "servers", "loadtests", "dashboard"},
    "notebooks": {"measure", "servers", "loadtests", "dashboard", "lab"},
    "benchmarks": {"measure", "servers", "lab"},
}
MEASURING = {"locust", "streamlit", "plotly", "gevent", "torch"}
FORBIDDEN_LIBRARIES = {
    "measure": MEASURING | {"tritonclient", "prometheus_client"},
    "servers": MEASURING - {"torch"},
}


def sources(room: str) -> list[Path]:
    return sorted((ROOT / room).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module the file imports, anywhere in it; `from a import b` counts as `a.b`."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                package = path.relative_to(ROOT).parts[: -node.level]
                base = ".".join([*package, base]).rstrip(".")
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return found


def allows(rule: str, module: str) -> bool:
    return module == rule or module.startswith(f"{rule}.")


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_a_room_imports_only_the_rooms_below_it(room):
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sources(room)
        for module in sorted(imported(path))
        if module.split(".")[0] in EVERYTHING - {room}
        and not any(allows(rule, module) for rule in ALLOWED[room])
    ]
    assert wrong == []


@pytest.mark.parametrize("room", sorted(FORBIDDEN_LIBRARIES))
def test_a_room_is_free_of_the_libraries_of_others(room):
    wrong = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in sources(room)
        for module in sorted(imported(path))
        if module.split(".")[0] in FORBIDDEN_LIBRARIES[room]
    ]
    assert wrong == []


def folder(engine: str) -> str:
    """The engine's folder: its name, as a Python package can be called."""
    return engine.replace("-", "_")


ANSWERING = sorted(engine.name for engine in ENGINES.values() if engine.protocols)


@pytest.mark.parametrize("engine", ANSWERING)
def test_an_engine_is_known_by_name_to_its_folder_and_the_catalogue_only(engine):
    """No other file compares anything with its name. (Prometheus is no engine under load.)"""
    wrong = []
    for path in [p for room in sorted(EVERYTHING) for p in sources(room)]:
        if (
            ROOT / "servers" / folder(engine)
        ) in path.parents or path == ROOT / "servers" / "catalog.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Compare):
                sides = [node.left, *node.comparators]
                if any(isinstance(s, ast.Constant) and s.value == engine for s in sides):
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert wrong == []


@pytest.mark.parametrize("engine", sorted(ENGINES))
def test_the_core_of_servers_imports_no_engine(engine):
    core = [path for path in (ROOT / "servers").glob("*.py") if path.name != "catalog.py"]
    assert [
        p.name for p in core if any(allows(f"servers.{folder(engine)}", m) for m in imported(p))
    ] == []
