"""The supervisor, checked with a stand-in server (no engine)."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from servers_standin import STANDIN, eventually, processes_of, session_of

from servers import instances, paths, processes, stopping, supervisor, targets
from servers.errors import ServerError


def quiet(_: str) -> None:
    pass


def start(**settings):
    name = settings.pop("name", None)
    ports = settings.pop("ports", None)
    return supervisor.up(STANDIN, name=name, ports=ports, settings=settings, say=quiet)


def start_elsewhere(home: Path, **settings) -> subprocess.Popen:
    """`up` in another program, which can be interrupted or killed."""
    code = f"""
        from servers_standin import STANDIN
        from servers import supervisor
        supervisor.up(STANDIN, settings={settings!r})
        print("UP", flush=True)
        input()
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    environment["SERVING_LAB_HOME"] = str(home)
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env=environment,
        cwd=paths.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_up_gives_a_ready_instance_whose_state_and_target_are_on_disk(lab_home):
    instance = start(children=1)
    assert instances.status(instance) == "running"
    assert instances.load("standin") == instance
    assert instance.settings == {"behaviour": "good", "children": 1, "patience_s": 60.0}
    assert len(instances.members(instance)) == 2
    [group] = json.loads((paths.targets() / "standin.json").read_text())
    assert group["targets"] == [f"127.0.0.1:{instance.ports['http']}"]
    assert group["labels"] == {
        "job": "engine",
        "engine": "standin",
        "instance": "standin",
        "__metrics_path__": "/metrics",
    }


def test_up_leads_a_session_of_its_own_and_logs_to_a_file(lab_home):
    instance = start()
    assert os.getsid(instance.pid) == instance.pid
    assert "loading step 4" in Path(instance.log).read_text()


def test_second_up_takes_the_running_instance(lab_home):
    first = start()
    said = []
    again = supervisor.up(STANDIN, say=said.append)
    assert (again.pid, again.create_time) == (first.pid, first.create_time)
    assert "already runs" in said[-1]


def test_up_with_other_settings_names_what_differs_and_changes_nothing(lab_home):
    first = start(children=0)
    with pytest.raises(ServerError, match=r"children is 0, asked 2.*lab down standin"):
        start(children=2)
    assert instances.load("standin") == first
    assert instances.status(first) == "running"


def test_two_names_run_side_by_side_on_ports_of_their_own(lab_home):
    one, two = start(name="one"), start(name="two")
    assert one.ports["http"] != two.ports["http"]
    assert [instance.name for instance in instances.all_instances()] == ["one", "two"]


def test_two_programs_asking_at_once_start_one(lab_home):
    with ThreadPoolExecutor(2) as pool:
        a, b = pool.map(lambda _: start(), range(2))
    assert a.pid == b.pid
    assert len(processes_of(lab_home)) == 1


def test_asked_port_in_use_names_who_has_it(lab_home):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=rf"Port {port}.*pid {os.getpid()}"):
            start(ports={"http": port})
    assert instances.names() == []


def test_port_of_a_living_instance_is_refused_by_its_name(lab_home):
    one = start(name="one")
    with pytest.raises(ServerError, match="belongs to the instance 'one'"):
        start(name="two", ports=one.ports)


@pytest.mark.parametrize("ports", [{"grpc": 18500}, {"http": 0}, {"http": 70000}])
def test_bad_port_is_refused(lab_home, ports):
    with pytest.raises(ServerError, match="port"):
        start(ports=ports)


@pytest.mark.parametrize("name", ["", "../x", "A", "x" * 64, "-x", "a/b"])
def test_bad_instance_name_is_refused(lab_home, name):
    if name:
        with pytest.raises(ServerError, match="no name for an instance"):
            start(name=name)
    assert not lab_home.exists()


def test_model_for_an_engine_without_one_is_refused(lab_home):
    with pytest.raises(ServerError, match="serves no model"):
        supervisor.up(STANDIN, model="org/model", say=quiet)


def test_child_that_dies_while_loading_fails_at_once_with_its_last_lines(lab_home):
    with pytest.raises(ServerError) as failure:
        start(behaviour="dies", children=2)
    assert "ended before it was ready" in str(failure.value)
    assert "  | out of memory: cannot load the weights" in str(failure.value)
    assert "\x1b" not in str(failure.value)
    assert processes_of(lab_home) == []
    assert instances.names() == []


def test_one_that_is_never_ready_is_stopped_when_its_time_is_over(lab_home, monkeypatch):
    monkeypatch.setattr("servers.readiness._LEAST_WAIT_S", 0.0)
    with pytest.raises(ServerError, match="was not ready after"):
        start(behaviour="never", patience_s=0.5)
    assert processes_of(lab_home) == []
    assert instances.names() == []


def test_argv_that_cannot_be_run_is_an_error_and_leaves_no_state(lab_home):
    def launch(request):
        return replace(STANDIN.launch(request), argv=("/nowhere/server",))

    with pytest.raises(ServerError, match="cannot be started"):
        supervisor.up(replace(STANDIN, launch=launch), say=quiet)
    assert instances.names() == []


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


def test_ctrl_c_while_it_loads_stops_what_was_started(lab_home):
    program = start_elsewhere(lab_home, behaviour="never", children=2)
    assert eventually(lambda: len(processes_of(lab_home)) >= 2)
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=60)
    assert program.returncode != 0
    assert "KeyboardInterrupt" in errors
    assert processes_of(lab_home) == []
    assert instances.names() == []


def test_up_of_what_is_stopped_while_it_loads_says_so(lab_home):
    program = start_elsewhere(lab_home, behaviour="never", children=2)
    assert eventually(lambda: len(processes_of(lab_home)) >= 2)
    assert supervisor.down("standin", say=quiet) == ["standin"]
    _, errors = program.communicate(timeout=60)
    assert program.returncode != 0
    assert "'standin' was stopped while it started, by `lab down`" in errors.splitlines()[-1]
    assert not list(paths.instances().glob("*standin*"))


def test_kill_9_of_up_while_it_loads_leaves_an_instance_that_is_known(lab_home):
    program = start_elsewhere(lab_home, behaviour="never", children=2)
    assert eventually(lambda: len(processes_of(lab_home)) >= 2)
    program.kill()
    program.communicate(timeout=60)
    [instance] = instances.all_instances()
    assert instances.status(instance) == "starting"
    assert supervisor.down(say=quiet) == ["standin"]
    assert processes_of(lab_home) == []


def test_an_instance_outlives_the_program_that_started_it(lab_home):
    program = start_elsewhere(lab_home, children=1)
    assert eventually(lambda: (i := instances.load("standin")) is not None and i.ready)
    program.kill()
    program.communicate(timeout=60)
    [instance] = instances.all_instances()
    assert instances.status(instance) == "running"
    assert start(children=1).pid == instance.pid
    supervisor.down(say=quiet)
    assert session_of(instance.pid) == []


def test_up_waits_for_an_instance_that_another_program_is_starting(lab_home):
    first = start_elsewhere(lab_home)
    assert eventually(lambda: instances.names() == ["standin"])
    instance = start()
    assert instance.ready
    assert len(processes_of(lab_home)) == 1
    first.kill()
    first.communicate(timeout=60)


def test_logs_of_earlier_starts_are_kept(lab_home):
    for _ in range(2):
        instance = start()
        supervisor.down(say=quiet)
    assert Path(f"{instance.log}.1").exists()


def test_a_load_tests_target_is_removed_when_it_is_gone_and_kept_while_it_listens(lab_home):
    paths.targets().mkdir(parents=True)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        for name, port in (("run-live", listening.getsockname()[1]), ("run-gone", 1)):
            path = paths.targets() / f"{name}.json"
            group = {"targets": [f"127.0.0.1:{port}"], "labels": {"job": "client"}}
            path.write_text(json.dumps([group]))
            os.utime(path, (0, 0))
        assert targets.remove_stale_clients() == ["run-gone"]
    assert (paths.targets() / "run-live.json").exists()
