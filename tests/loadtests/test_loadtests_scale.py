"""One run from several Locust processes against the reference server."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import httpx
import psutil
import pytest

from loadtests.schedule import ArrivalFlags, schedule_of
from measure.store import open_run, recover

pytestmark = pytest.mark.load

MODEL = "ref,ttft=0.02,gap=0.005"


def column(run, name):
    return run.records.column(name).to_pylist()


def numbers(run):
    """The numbers of the requests, each of which is there once."""
    return sorted(int(name.split("-")[1]) for name in column(run, "request_id"))


def wait_for(process, condition):
    """Wait for something of a run that goes on; the test's own timeout is the limit."""
    while process.poll() is None:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(process.communicate()[1])


def both_have_sent(folder):
    if not (folder / "shards" / "1.arrows").exists():
        return False
    workers = open_run(folder).records.column("worker").to_pylist()
    return min(Counter(workers)[worker] for worker in (0, 1)) > 5


def workers_of(process):
    return psutil.Process(process.pid).children()


def test_an_open_loop_of_two_processes_is_the_schedule_of_one(reference, locust, tmp_path):
    done = locust.run(
        "completion", "-H", reference.url, "--arrival", "poisson", "--rate", "60", "-t", "3s",
        "--model", MODEL, "--output-tokens", "2", "--stop-timeout", "5", "--seed", "7",
        "--run-dir", str(tmp_path / "run"), "--processes", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = open_run(tmp_path / "run")
    assert run.finished
    assert run.manifest["load"]["workers"] == 2
    assert numbers(run) == list(range(run.records.num_rows))
    # By number each arrival is where the one schedule has it, and the load ends on time.
    schedule = schedule_of(ArrivalFlags("poisson", "60"), 3.0)
    due_s = list(itertools.takewhile(lambda at_s: at_s < 3.0, schedule.offsets_s(7)))
    rows = zip(column(run, "request_id"), column(run, "scheduled_s"), strict=True)
    found_s = {int(name.split("-")[1]): at_s for name, at_s in rows if at_s < 3.0}
    assert [found_s[number] for number in range(len(found_s))] == due_s
    assert run.summary["window_s"] == 3.0
    assert not any("lost" in reason for reason in run.summary["client"]["reasons"])
    assert f"run: {tmp_path / 'run'}" in done.stdout


def test_two_thousand_streams_at_once_come_whole_from_two_processes(reference, locust, tmp_path):
    done = locust.run(
        "completion", "-H", reference.url, "-u", "2000", "-r", "2000", "-t", "2s",
        "--model", "ref,ttft=4,gap=0.1", "--output-tokens", "4", "--stop-timeout", "60",
        "--run-dir", str(tmp_path / "run"), "--processes", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = open_run(tmp_path / "run")
    assert Counter(column(run, "status")) == {"ok": 2000}
    assert set(column(run, "chunks")) == {4}
    assert set(column(run, "output_tokens")) == {4}
    assert numbers(run) == list(range(2000))
    assert run.summary["client"]["max_in_flight"] == 2000


@pytest.fixture
def two_processes(reference, locust, tmp_path):
    """A closed loop without end, driven by two workers that have both sent records."""
    folder, targets = tmp_path / "run", tmp_path / "targets"
    targets.mkdir()
    with locust.start(
        "completion", "-H", reference.url, "-u", "4", "-r", "4", "-t", "10m", "--model", MODEL,
        "--output-tokens", "4", "--run-dir", str(folder), "--processes", "2",
        "--metrics-targets", str(targets),
    ) as process:  # fmt: skip
        wait_for(process, lambda: both_have_sent(folder))
        workers = workers_of(process)
        try:
            yield process, folder, workers
        finally:
            for worker in workers:
                with contextlib.suppress(psutil.NoSuchProcess):
                    worker.kill()


def test_ctrl_c_ends_all_and_loses_nothing(two_processes, tmp_path):
    """The terminal sends it to every process."""
    process, folder, workers = two_processes
    (target,) = json.loads((tmp_path / "targets" / "run.json").read_text())
    live = httpx.get(f"http://{target['targets'][0]}/metrics", timeout=60).text
    assert 'client_requests_total{run_id="run",scenario="completion",status="ok"}' in live
    for one in (process, *workers):
        one.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    psutil.wait_procs(workers)
    run = open_run(folder)
    assert run.finished
    # A busy machine adds reasons of its own.
    assert any("the load was stopped" in reason for reason in run.summary["client"]["reasons"])
    assert run.summary["client"]["max_in_flight"] == 4
    # Each worker's numbers are without a gap: nothing that was sent is missing.
    for worker in (0, 1):
        own = [n for n in numbers(run) if n % 2 == worker]
        assert own == list(range(worker, own[-1] + 1, 2))
    assert f"run: {folder}" in out
    assert list((tmp_path / "targets").iterdir()) == []


def test_a_worker_that_is_killed_leaves_what_it_had_sent_and_marks_the_run(two_processes):
    process, folder, workers = two_processes
    workers[1].kill()
    kept = Counter(column(open_run(folder), "worker"))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert "Traceback" not in err
    run = open_run(folder)
    assert run.finished
    found = Counter(column(run, "worker"))
    assert all(found[worker] >= kept[worker] > 0 for worker in (0, 1))
    assert run.summary["client"]["verdict"] != "valid"
    assert any("lost 1 of its processes" in why for why in run.summary["client"]["reasons"])


def test_workers_end_with_their_master_and_the_run_can_be_read(two_processes):
    process, folder, workers = two_processes
    process.kill()
    process.wait()
    psutil.wait_procs(workers)
    assert not any(worker.is_running() for worker in workers)
    run = recover(folder)
    assert not run.finished
    assert set(column(run, "worker")) == {0, 1}
    assert set(column(run, "status")) == {"ok"}


def test_a_worker_elsewhere_learns_all_from_its_master(reference, locust, free_port, tmp_path):
    """It is started with nothing but the master's address, in another folder's view of files."""
    port = str(free_port())
    with locust.start(
        "completion", "-H", reference.url, "-u", "2", "-t", "2s", "--model", MODEL, "--master",
        "--output-tokens", "3", "--run-dir", str(tmp_path / "run"), "--slo", "ttft=10",
        "--master-bind-port", port, "--master-bind-host", "127.0.0.1", "--expect-workers", "2",
    ) as master:  # fmt: skip
        where = ("--master-host", "127.0.0.1", "--master-port", port, "--worker")
        with locust.start("completion", *where) as one, locust.start("completion", *where) as other:
            _, err = master.communicate()
            for worker in (one, other):
                worker.communicate()
                assert worker.returncode == 0
    assert master.returncode == 0, err
    run = open_run(tmp_path / "run")
    assert set(column(run, "worker")) == {0, 1}
    answered = zip(column(run, "status"), column(run, "output_tokens"), strict=True)
    assert {tokens for status, tokens in answered if status == "ok"} == {3}
    assert not any("lost" in reason for reason in run.summary["client"]["reasons"])
    assert run.summary["slo_attainment"] == 1.0


def test_a_server_that_is_not_up_ends_master_and_workers(locust, free_port, tmp_path):
    done = locust.run(
        "completion", "-H", f"http://127.0.0.1:{free_port()}", "--model", "m", "-t", "2s",
        "--processes", "2", "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("No server answers") == 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


LIMITED = """
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
sys.argv = ["locust", *sys.argv[1:]]
runpy.run_module("locust", run_name="__main__")
"""


def test_too_few_open_files_are_said_before_the_load(reference, locust, tmp_path):
    done = subprocess.run(
        [
            sys.executable, "-c", LIMITED, "-f", "loadtests/completion.py", "--headless",
            "-H", reference.url, "-u", "300", "-t", "2s", "--run-dir", str(tmp_path / "run"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "SERVING_LAB_HOME": str(locust.home)},
    )  # fmt: skip
    assert done.returncode == 1
    assert "300 requests at once need 500 open files" in done.stderr
    assert not (tmp_path / "run").exists()
