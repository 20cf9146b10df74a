import subprocess
import sys
from pathlib import Path

import pytest

from loadtests import cores

# Twice as many busy processes as cores, for as long as this one needs to have run a second.
STARVED = """
import multiprocessing, os, time
from loadtests.cores import core_wait_s

def spin(stop):
    while not stop.is_set():
        pass

if __name__ == "__main__":
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    stop = multiprocessing.Event()
    others = [multiprocessing.Process(target=spin, args=(stop,), daemon=True) for _ in range(2)]
    for other in others:
        other.start()
    before = core_wait_s(), time.process_time()
    while time.process_time() - before[1] < 0.3:
        sum(range(10_000))
    print(core_wait_s() - before[0])
    stop.set()
    for other in others:
        other.join()
"""


@pytest.mark.skipif(not cores._SCHEDSTAT.exists(), reason="this kernel does not count run delays")
def test_a_process_that_shares_its_core_with_two_others_waits_for_it(tmp_path):
    script = tmp_path / "starved.py"
    script.write_text(STARVED)
    done = subprocess.run(
        [sys.executable, str(script)], cwd=Path(cores.__file__).parent.parent, text=True,
        capture_output=True, timeout=60, check=True, env={"PYTHONPATH": "."},
    )  # fmt: skip
    # It got a third of the core: for 0.3 s of running it waited 0.6 s, give or take a time slice.
    assert float(done.stdout) > 0.2


def test_where_the_kernel_does_not_tell_nothing_is_claimed(monkeypatch, tmp_path):
    for text in (None, "", "words only\n"):
        file = tmp_path / "schedstat"
        if text is not None:
            file.write_text(text)
        monkeypatch.setattr(cores, "_SCHEDSTAT", file)
        assert cores.core_wait_s() == 0.0
