"""The CPU of a tool's whole tree, and that nothing of it is left behind."""

import sys
import time

import psutil

from benchmarks import processes

# A child that burns CPU and is waited for, one that burns CPU and is not, and their parent.
BURN = "import time\nwhile time.process_time() < 1.2: pass"
TREE = f"""
import subprocess, sys, time
waited = subprocess.Popen([sys.executable, "-c", {BURN!r}])
other = subprocess.Popen([sys.executable, "-c", {BURN!r} + "\\ntime.sleep(60)"])
waited.wait()
time.sleep(2)
"""


def test_children_count_whether_they_live_or_have_been_waited_for(tmp_path):
    begin_s = time.time()
    ended = processes.run([sys.executable, "-c", TREE], {}, tmp_path, tmp_path / "log", 60)
    assert ended.exit_code == 0
    # Two burners of 1.2 s of CPU each; one alone would leave half of it.
    assert 2.2 < ended.cpu_between_s(begin_s, time.time()) < 4.0
    assert not [p for p in psutil.process_iter(["cmdline"]) if BURN in (p.info["cmdline"] or [])]
    assert list(ended.cpu_s) == sorted(ended.cpu_s)


def test_a_command_that_does_not_end_is_stopped_with_its_children(tmp_path):
    sleeper = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(61.5)'])"
    ended = processes.run([sys.executable, "-c", sleeper], {}, tmp_path, tmp_path / "log", 1.5)
    assert ended.exit_code is None
    left = [
        p
        for p in psutil.process_iter(["cmdline"])
        if "sleep(61.5)" in " ".join(p.info["cmdline"] or [])
    ]
    # Who was killed needs a moment to be gone.
    _, alive = psutil.wait_procs(left, timeout=20)
    assert alive == []


def test_what_a_command_said_is_in_its_log(tmp_path):
    processes.run([sys.executable, "-c", "print('hello')"], {}, tmp_path, tmp_path / "log", 30)
    assert (tmp_path / "log").read_text() == "hello\n"
