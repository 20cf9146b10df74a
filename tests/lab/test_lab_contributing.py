"""The contributor's page: its example engine is real, and it takes one folder and one line."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from measure.store import open_run

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
SECTION = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Adding an engine")[2]
BLOCKS = re.findall(r"`(servers/[\w/.]+)`:\n\n```(?:python|text)\n(.*?)```", SECTION, re.DOTALL)
COMMANDS = re.findall(r"^    lab (.*)$", SECTION, re.MULTILINE)
ROOMS = ("lab", "dashboard", "loadtests", "servers", "measure")
CATALOGUE = "servers/catalog.py"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rooms, copied, with the page's engine in them."""
    root = tmp_path_factory.mktemp("copy")
    for room in ROOMS:
        shutil.copytree(ROOT / room, root / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", ".streamlit"):
        (root / name).symlink_to(ROOT / name)
    # The unpacked Prometheus: it is only an install.
    (root / ".lab").mkdir()
    (ROOT / ".lab" / "tools").mkdir(parents=True, exist_ok=True)
    (root / ".lab" / "tools").symlink_to(ROOT / ".lab" / "tools")
    for name, text in BLOCKS:
        if name == CATALOGUE:
            lines = (root / name).read_text().replace("_FOLDERS = (\n", f"_FOLDERS = (\n{text}", 1)
            (root / name).write_text(lines)
        else:
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text(text)
    return root


def lab(copy: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    env = {name: value for name, value in os.environ.items() if not name.startswith("SERVING_LAB")}
    return subprocess.run(
        [sys.executable, "-m", "lab", *argv],
        cwd=copy,
        env={**env, "PYTHONPATH": str(copy), "SERVING_LAB_RUNS": str(copy / "runs")},
        capture_output=True,
        text=True,
        timeout=180,
    )


def test_the_page_adds_one_folder_and_one_line(copy: Path):
    folders = {Path(name).parent for name, _ in BLOCKS if name != CATALOGUE}
    assert len(folders) == 1
    before, after = ((root / CATALOGUE).read_text().splitlines() for root in (ROOT, copy))
    assert [line for line in after if line not in before] == ['    "parrot",']
    assert len(after) == len(before) + 1


def test_its_code_is_written_as_ours_is(copy: Path):
    folder = str(copy / "servers" / "parrot")
    for check in (("format", "--check"), ("check",)):
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "ruff",
                *check,
                "--config",
                str(ROOT / "pyproject.toml"),
                folder,
            ],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


def test_its_commands_start_load_show_and_stop_the_engine(copy: Path):
    said = {}
    try:
        for command in COMMANDS:
            done = lab(copy, *shlex.split(command))
            assert done.returncode == 0, done.stdout + done.stderr
            said[command.split()[0]] = done.stdout
    finally:
        lab(copy, "down")
    assert list(said) == ["knobs", "up", "run", "ps", "down"]
    assert "PAUSE_MS" in said["knobs"]
    assert "parrot: warm after" in said["up"]
    assert "already runs" in said["run"]
    assert "pause_ms=2" in said["ps"] and "running" in said["ps"]
    assert "stopped parrot" in said["down"]
    (folder,) = (copy / "runs").iterdir()
    run = open_run(folder)
    assert run.summary["requests"]["failed"] == 0
    assert run.summary["output_tokens_per_s"] > 0
    assert run.manifest["engine"]["warm"] is True
    assert {row["metric"] for row in run.server_metrics.to_pylist()} >= {"parrot_words_total"}
    assert json.loads((folder / "manifest.json").read_text())["engine"]["settings"] == {
        "pause_ms": 2.0
    }
