"""The supervisor, checked with a stand-in server (no engine)."""

import json
import os
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from eventually import eventually
from servers_standin import (
    STANDIN,
    processes_of,
    quiet,
    session_of,
    start,
    start_elsewhere,
)

from servers import instances, paths, supervisor, targets
from servers.errors import ServerError


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
        "title": "stand-in server",
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
