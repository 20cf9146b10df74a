"""What `lab run` says of loads that did not go through."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from lab import cli, experiment, reports, services
from servers import instances


def run_that_ended(monkeypatch, **changed):
    """`lab run` on a load that has ended so, without an engine or a load."""
    run = SimpleNamespace(path=Path("runs/one"), finished=True, summary={"requests": {"ok": 3}})
    interrupted = changed.pop("interrupted", False)
    outcome = SimpleNamespace(
        run=SimpleNamespace(**vars(run) | changed), exit_code=-9, interrupted=interrupted
    )
    monkeypatch.setattr(experiment, "ensure_instance", lambda *_, **__: None)
    monkeypatch.setattr(experiment, "run", lambda *_: outcome)
    monkeypatch.setattr(reports, "print_run", lambda *_: None)
    return CliRunner().invoke(cli.app, ["run", "reference", "--users", "2"])


def test_a_load_that_went_through_ends_well(monkeypatch):
    assert run_that_ended(monkeypatch).exit_code == 0


@pytest.mark.parametrize(
    ("changed", "exit_code", "said"),
    [
        ({"finished": False}, 1, "ended from outside"),
        ({"interrupted": True, "finished": False}, 130, ""),
        ({"summary": {"requests": {"ok": 0, "by_error": {"timeout": 2}}}}, 1, "2 x timeout"),
    ],
)
def test_one_that_did_not_is_no_success(changed, exit_code, said, monkeypatch):
    result = run_that_ended(monkeypatch, **changed)
    assert result.exit_code == exit_code
    assert said in " ".join(result.output.split())


def test_neighbours_are_the_other_engines_that_live(monkeypatch):
    running = [
        SimpleNamespace(name="mine", engine="vllm", alive=True),
        SimpleNamespace(name="beside", engine="triton", alive=True),
        SimpleNamespace(name="gone", engine="triton", alive=False),
        *(SimpleNamespace(name=name, engine=name, alive=True) for name in services.SERVICES),
    ]
    monkeypatch.setattr(instances, "all_instances", lambda: running)
    monkeypatch.setattr(instances, "alive", lambda one: one.alive)
    assert services.neighbours("mine") == ["beside"]
