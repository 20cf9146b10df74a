"""What `down` stops and finds again, checked with a stand-in server (no engine)."""

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from eventually import eventually
from servers_standin import processes_of, quiet, session_of, start

from servers import instances, paths, processes, stopping, supervisor
from servers.errors import ServerError


def test_down_stops_every_process_and_is_repeatable(lab_home):
    instance = start(children=3)
    assert supervisor.down("standin", say=quiet) == ["standin"]
    assert session_of(instance.pid) == []
    assert instances.load("standin") is None
    assert not (paths.targets() / "standin.json").exists()
    assert supervisor.down("standin", say=quiet) == []


def test_down_kills_what_ignores_sigterm(lab_home):
    instance = start(behaviour="stubborn", children=2)
    supervisor.down(say=quiet)
    assert session_of(instance.pid) == []


def test_down_of_all_from_several_programs_at_once(lab_home):
    started = [start(name=name, children=1) for name in ("one", "two", "three")]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda _: supervisor.down(say=quiet), range(3)))
    assert [session_of(instance.pid) for instance in started] == [[], [], []]
    assert instances.names() == []


def test_down_finds_children_orphaned_by_kill_9_of_their_parent(lab_home):
    instance = start(children=3)
    os.kill(instance.pid, signal.SIGKILL)
    assert eventually(lambda: not instances.leader_alive(instance))
    assert len(session_of(instance.pid)) == 3
    assert instances.status(instance) == "unhealthy"
    assert supervisor.down(say=quiet) == ["standin"]
    assert session_of(instance.pid) == []


def test_up_after_kill_9_of_the_parent_clears_the_rest_and_starts_anew(lab_home):
    first = start(children=2)
    os.kill(first.pid, signal.SIGKILL)
    assert eventually(lambda: not instances.leader_alive(first))
    second = start(children=2)
    assert second.pid != first.pid
    assert session_of(first.pid) == []
    assert instances.status(second) == "running"


@pytest.mark.parametrize("killed_first", [False, True])
def test_down_frees_shared_memory_that_was_leaked(lab_home, killed_first):
    instance = start(behaviour="leaks")
    assert len(instance.shm) == 1
    assert Path(instance.shm[0]).exists()
    if killed_first:
        os.kill(instance.pid, signal.SIGKILL)
    supervisor.down(say=quiet)
    assert not Path(instance.shm[0]).exists()


def test_shared_memory_that_another_process_holds_is_left(lab_home):
    instance = start(behaviour="leaks")
    with Path(instance.shm[0]).open("rb"):
        supervisor.down(say=quiet)
        assert Path(instance.shm[0]).exists()
    assert processes.remove_unused_shared_memory(instance.shm) == list(instance.shm)


def test_a_pid_that_was_used_again_is_never_signalled(lab_home):
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True
    ) as stranger:
        try:
            instance = start()
            supervisor.down(say=quiet)
            created = psutil.Process(stranger.pid).create_time() - 100
            stale = replace(instance, pid=stranger.pid, create_time=created, members=())
            instances.state_file("standin").write_text(stale.to_json())
            assert instances.status(stale) == "dead"
            assert supervisor.down(say=quiet) == []
            assert stranger.poll() is None
            assert instances.names() == []
        finally:
            stranger.kill()


def test_a_damaged_state_file_is_named_and_down_still_finds_the_processes(lab_home):
    instance = start(children=1)
    instances.state_file("standin").write_text("{ not json")
    with pytest.raises(ServerError, match=r"standin.*cannot be read"):
        instances.load("standin")
    assert supervisor.down(say=quiet) == ["standin"]
    assert instances.names() == []
    assert processes_of(lab_home) == []
    assert session_of(instance.pid) == []


def test_a_removed_state_file_leaves_the_processes_findable(lab_home):
    instance = start(children=2)
    instances.state_file("standin").unlink()
    assert supervisor.down(say=quiet) == ["standin"]
    assert session_of(instance.pid) == []


def test_a_start_cut_off_before_its_pid_was_written_is_found(lab_home):
    instance = start(children=1)
    cut_off = replace(instance, pid=0, create_time=0.0, members=(), ready=False)
    instances.state_file("standin").write_text(cut_off.to_json())
    assert supervisor.down(say=quiet) == ["standin"]
    assert processes_of(lab_home) == []


def test_what_an_earlier_start_of_the_name_left_is_stopped_with_the_later(lab_home):
    first = start(children=1)
    instances.state_file("standin").unlink()
    second = start(children=1)
    assert session_of(first.pid) == []
    assert instances.status(second) == "running"


def test_stopping_a_start_leaves_a_later_one_of_the_name_alone(lab_home):
    first = start()
    supervisor.down(say=quiet)
    second = start()
    stopping.stop("standin", first, quiet)
    assert instances.status(second) == "running"
    assert instances.load("standin") == second
