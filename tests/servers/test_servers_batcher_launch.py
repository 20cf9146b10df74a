"""The FastAPI batcher's command line, as text; nothing is started."""

import contextlib
import shlex
import sqlite3
from dataclasses import replace
from functools import partial

import pytest
from asked import request_of

from servers import paths
from servers.errors import ServerError
from servers.fastapi_batcher import ENGINE
from servers.fastapi_batcher.launch import prepare, unfinished_jobs

request = partial(request_of, ENGINE)


def test_the_command():
    assert list(ENGINE.launch(request()).argv) == shlex.split(
        "/envs/fastapi-batcher/bin/python -m servers.fastapi_batcher.inside "
        "--host 127.0.0.1 --port 8030 --model /lab/work/one/model "
        "--jobs /lab/work/one/jobs.sqlite3 --batcher deadline --max-batch-size 64 "
        "--max-queue-delay-us 5000 --poll-interval-us 10000 --max-queue-size 256 "
        "--instances 1 --threads 1"
    )


def test_every_knob_reaches_the_command():
    asked = {"batcher": "polling", "max_batch_size": 3, "max_queue_delay_us": 7,
             "poll_interval_us": 11, "max_queue_size": 13, "instances": 17, "threads": 19}  # fmt: skip
    argv = ENGINE.launch(request(**asked)).argv
    for knob in ENGINE.knobs:
        assert argv[argv.index(knob.flag) + 1] == str(asked[knob.name])


def test_the_application_finds_the_project_and_nothing_of_the_users_python():
    env = ENGINE.launch(request()).env
    inside = paths.ROOT / "servers" / "models" / "inside"
    assert env["PYTHONPATH"] == f"{paths.ROOT}:{inside}"


def test_without_its_environment_it_says_so():
    with pytest.raises(ServerError, match="environment is needed"):
        ENGINE.launch(replace(request(), python=None))


def test_the_model_is_linked_again_at_every_start(tmp_path, monkeypatch):
    first, second = tmp_path / "first", tmp_path / "second"
    asked = replace(request(), workspace=tmp_path)
    for folder in (first, second):
        monkeypatch.setattr("servers.models.classifier", lambda say, folder=folder: folder)
        prepare(asked, print)
        assert (tmp_path / "model").readlink() == folder


def test_jobs_that_an_earlier_start_left_are_told_of(tmp_path, monkeypatch):
    monkeypatch.setattr("servers.models.classifier", lambda say: tmp_path)
    asked = replace(request(), workspace=tmp_path)
    said: list[str] = []
    prepare(asked, said.append)
    file = tmp_path / "jobs.sqlite3"
    with contextlib.closing(sqlite3.connect(file)) as jobs, jobs:
        jobs.execute("CREATE TABLE jobs (status INTEGER)")
    prepare(asked, said.append)
    assert said == []
    with contextlib.closing(sqlite3.connect(file)) as jobs, jobs:
        jobs.executemany("INSERT INTO jobs VALUES (?)", [(0,), (1,), (2,), (2,)])
    prepare(asked, said.append)
    [line] = said
    assert line.startswith("one: 2 jobs are left of an earlier start") and str(file) in line


def test_a_file_of_jobs_that_is_damaged_counts_none(tmp_path):
    (tmp_path / "jobs.sqlite3").write_bytes(b"no database" * 100)
    assert unfinished_jobs(tmp_path / "jobs.sqlite3") == 0
