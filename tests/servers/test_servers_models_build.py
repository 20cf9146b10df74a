"""A model's folder is whole or absent, whatever happens while it is made.

The makers here are small scripts run by this Python: how folders come into place is tested, not
what real makers write (that is in test_servers_models_made.py).
"""

import os
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from servers import environments, paths
from servers.contract import Environment
from servers.errors import ServerError
from servers.models import build as builder

WRITE = """
    import pathlib, sys
    print("writing", flush=True)
    pathlib.Path(sys.argv[1], "weights").write_text("whole")
"""


@pytest.fixture
def maker(tmp_path, monkeypatch):
    """Sets up a maker script; returns a function that (re)writes it."""
    inside, env = tmp_path / "inside", tmp_path / "env"
    inside.mkdir()
    env.mkdir()
    (inside / "packaged.py").write_text("")
    (env / "requirements.txt").write_text("one==1\n")
    monkeypatch.setattr(builder, "INSIDE", inside)
    monkeypatch.setattr(builder, "ENVIRONMENT", Environment(name="models", folder=env))
    monkeypatch.setattr(paths, "models", lambda: tmp_path / "models")
    monkeypatch.setattr(environments, "ensure", lambda *_: Path(sys.executable))

    def write(source: str) -> None:
        (inside / "make.py").write_text(textwrap.dedent(source))

    return write


def left_behind() -> list[str]:
    return sorted(path.name for path in paths.models().iterdir() if not path.name.endswith(".lock"))


def test_a_model_is_made_once_and_then_costs_nothing(maker, monkeypatch):
    maker(WRITE)
    said: list[str] = []
    folder = builder.build("thing", "make.py", said.append)
    assert (folder / "weights").read_text() == "whole"
    assert "  writing" in said
    monkeypatch.setattr(builder, "_run", lambda *_: pytest.fail("made again"))
    again: list[str] = []
    assert builder.build("thing", "make.py", again.append) == folder
    assert again == []
    assert left_behind() == ["thing"]


@pytest.mark.parametrize("changed", ["script", "packages"])
def test_a_model_is_made_anew_when_what_it_is_made_from_changes(maker, changed):
    maker(WRITE)
    folder = builder.build("thing", "make.py", print)
    (folder / "old").write_text("")
    if changed == "script":
        maker(WRITE.replace("whole", "new"))
    else:
        (builder.ENVIRONMENT.folder / "requirements.txt").write_text("one==2\n")
    builder.build("thing", "make.py", print)
    assert (folder / "weights").read_text() == ("new" if changed == "script" else "whole")
    assert not (folder / "old").exists()
    assert left_behind() == ["thing"]


def test_a_maker_that_fails_leaves_nothing_and_its_last_words_are_shown(maker):
    maker(WRITE + "    sys.exit('the disk is on fire')\n")
    with pytest.raises(ServerError, match="the disk is on fire"):
        builder.build("thing", "make.py", print)
    assert left_behind() == []


def test_a_maker_that_fails_leaves_the_older_model(maker):
    maker(WRITE)
    folder = builder.build("thing", "make.py", print)
    maker("raise SystemExit(3)")
    with pytest.raises(ServerError, match="ended with code 3"):
        builder.build("thing", "make.py", print)
    assert (folder / "weights").read_text() == "whole"
    assert left_behind() == ["thing"]


def test_an_interruption_ends_the_maker_and_leaves_nothing(maker):
    maker(
        WRITE
        + "    print(__import__('os').getpid(), flush=True)\n    __import__('time').sleep(60)\n"
    )
    pids: list[int] = []

    def say(line: str) -> None:
        if line.strip().isdigit():
            pids.append(int(line))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        builder.build("thing", "make.py", say)
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)
    assert left_behind() == []


def test_what_a_killed_maker_left_is_cleared_by_the_next(maker, tmp_path):
    maker(WRITE)
    (paths.models() / ".thing.dead.partial").mkdir(parents=True)
    builder.build("thing", "make.py", print)
    assert left_behind() == ["thing"]


def test_two_at_once_make_it_once(maker, tmp_path):
    maker(
        WRITE
        + f"""
    import time
    with open({str(tmp_path / "count")!r}, "a") as count:
        count.write("x")
    time.sleep(0.5)
    """
    )
    said: list[str] = []
    threads = [
        threading.Thread(target=builder.build, args=("thing", "make.py", said.append))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (tmp_path / "count").read_text() == "x"
    assert any("waiting" in line for line in said)
