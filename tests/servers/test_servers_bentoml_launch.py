"""BentoML's command line and environment, as text, and a build that fails; nothing is served."""

import shlex
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from asked import request_of

from servers.bentoml import ENGINE
from servers.bentoml.launch import build_command
from servers.bentoml.launch import prepare as build
from servers.errors import ServerError

request = partial(request_of, ENGINE)


def test_the_bento_is_built_with_every_knob_and_then_served():
    asked = request(max_batch_size=16, max_latency_ms=500, instances=2, threads=3)
    assert list(build_command(asked, Path("/context"))) == shlex.split(
        "/envs/bentoml/bin/python -m bentoml build /context --version lab --output tag "
        "--arg max_batch_size=16 --arg max_latency_ms=500 --arg workers=2 --arg threads=3"
    )
    started = ENGINE.launch(asked)
    assert list(started.argv) == shlex.split(
        "/envs/bentoml/bin/python -m bentoml serve classifier:lab --host 127.0.0.1 --port 3000"
    )
    assert started.env["OMP_NUM_THREADS"] == "3"


def test_every_knob_reaches_the_build():
    usual = build_command(request(), Path())
    for knob in ENGINE.knobs:
        assert isinstance(knob.default, int)
        assert build_command(request(**{knob.name: knob.default + 1}), Path()) != usual


def test_its_files_are_in_the_workspace_and_nothing_is_reported():
    environment = ENGINE.launch(request()).env
    # `1` is not taken for yes.
    assert environment["BENTOML_DO_NOT_TRACK"] == "true"
    assert environment["BENTOML_HOME"] == "/lab/work/one/home"
    assert environment["TMPDIR"] == "/lab/work/one/tmp"


def test_there_is_no_delay_to_set_for_bentoml_has_none():
    assert ENGINE.knob("max_queue_delay_us") is None
    assert "No delay" in ENGINE.knob("max_latency_ms").trades


def fake_python(tmp_path: Path, script: str) -> Path:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


def prepare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> list[str]:
    """Build with this script in Python's place, and what was said meanwhile."""
    model = tmp_path / "model"
    model.mkdir()
    for name in ("model.onnx", "tokenizer.json", "card.json"):
        (model / name).touch()
    monkeypatch.setattr("servers.models.classifier", lambda say: model)
    said: list[str] = []
    asked = replace(request(tmp_path / "work"), python=fake_python(tmp_path, script))
    build(asked, said.append)
    return said


def test_a_build_that_fails_is_told_with_its_last_words(tmp_path, monkeypatch):
    with pytest.raises(ServerError, match=r"failed \(3\):\n  \| first\n  \| no such service"):
        prepare(tmp_path, monkeypatch, "echo first; echo no such service >&2; exit 3")


def test_the_build_is_given_the_service_the_model_and_a_store_of_its_own(tmp_path, monkeypatch):
    work = tmp_path / "work"
    script = (
        f'cd {tmp_path}; echo "$@" > args; echo "$BENTOML_HOME" > store; ls "$4" "$4/model" > files'
    )
    assert prepare(tmp_path, monkeypatch, script) == ["one: building the bento classifier:lab"]
    told = (tmp_path / "args").read_text()
    context = Path(told.split()[3])
    assert told == (
        f"-m bentoml build {context} --version lab --output tag --arg max_batch_size=64 "
        "--arg max_latency_ms=60000 --arg workers=1 --arg threads=1\n"
    )
    # BentoML would refuse to build in the lab's own folder, whose name begins with a dot.
    assert work not in context.parents and not context.exists()
    assert (tmp_path / "store").read_text() == f"{work}/home\n"
    files = (tmp_path / "files").read_text()
    for name in ("bentofile.yaml", "service.py", "classifying.py", "model.onnx"):
        assert name in files
