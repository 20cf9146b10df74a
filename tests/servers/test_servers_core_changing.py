"""Other settings for a running instance: in place, or not, or cut short. With a stand-in server."""

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from eventually import eventually
from servers_standin import STANDIN

from servers import instances, paths, supervisor
from servers.errors import ServerError, UnsettledError


def quiet(_: str) -> None:
    pass


def changeable(reload):
    return replace(STANDIN, reload=reload)


def up(engine, say=quiet, **settings):
    return supervisor.up(engine, settings=settings, replace_other=True, say=say)


def test_settings_are_changed_in_place_where_the_engine_can(lab_home):
    asked = []

    def reload(now, new, say):
        during = instances.load("standin")
        asked.append((dict(now.settings), dict(new.settings), dict(new.ports), during.changing))
        return True

    first = up(changeable(reload))
    said = []
    second = up(changeable(reload), said.append, patience_s=50.0)
    assert (second.pid, second.ports) == (first.pid, first.ports)
    [(now, new, ports, changing)] = asked
    assert changing and ports == first.ports
    assert (now["patience_s"], new["patience_s"]) == (60.0, 50.0)
    assert second == instances.load("standin")
    assert second.settings["patience_s"] == 50.0 and not second.changing
    assert any("changed without a restart" in line for line in said)


def test_what_cannot_be_changed_in_place_is_started_anew(lab_home):
    first = up(STANDIN)
    refusing = changeable(lambda now, new, say: False)
    second = up(refusing, patience_s=50.0)
    assert second.pid != first.pid and second.settings["patience_s"] == 50.0


def test_more_than_settings_is_never_changed_in_place(lab_home):
    engine = changeable(lambda now, new, say: pytest.fail("asked to change a port"))
    first = up(engine)
    other = supervisor.up(
        engine,
        settings={"patience_s": 50.0},
        ports={"http": first.ports["http"] + 7},
        replace_other=True,
        say=quiet,
    )
    assert other.pid != first.pid


def test_refused_settings_leave_it_as_it_was(lab_home):
    def reload(now, new, say):
        raise ServerError("too large")

    first = up(changeable(reload))
    with pytest.raises(ServerError, match="too large"):
        up(changeable(reload), patience_s=50.0)
    assert instances.load("standin") == first
    assert up(changeable(reload)).pid == first.pid


def test_settings_that_no_server_can_be_started_with_leave_the_one_that_runs(lab_home):
    def launch(request):
        if request.settings["patience_s"] < 1:
            raise ServerError("these contradict each other")
        return STANDIN.launch(request)

    engine = replace(STANDIN, launch=launch)
    first = up(engine)
    with pytest.raises(ServerError, match="contradict"):
        up(engine, patience_s=0.5)
    assert instances.load("standin") == first
    assert up(engine).pid == first.pid


def test_a_change_that_failed_halfway_is_not_taken_for_done_and_the_next_up_starts_anew(lab_home):
    def reload(now, new, say):
        raise UnsettledError("neither this nor that")

    first = up(changeable(reload))
    with pytest.raises(UnsettledError):
        up(changeable(reload), patience_s=50.0)
    assert instances.load("standin").changing
    # Even the settings it had: nobody knows whether it still has them.
    again = up(changeable(lambda now, new, say: pytest.fail("changed what is not known")))
    assert again.pid != first.pid and not again.changing


def test_without_leave_to_replace_nothing_is_changed(lab_home):
    engine = changeable(lambda now, new, say: pytest.fail("changed unasked"))
    up(engine)
    with pytest.raises(ServerError, match="runs otherwise: patience_s is 60"):
        supervisor.up(engine, settings={"patience_s": 50.0}, say=quiet)


def test_two_programs_asking_at_once_change_it_once(lab_home):
    calls = []

    def reload(now, new, say):
        calls.append(new.settings["patience_s"])
        return True

    first = up(changeable(reload))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: up(changeable(reload), patience_s=50.0), range(4)))
    assert calls == [50.0]
    assert {one.pid for one in found} == {first.pid}


def test_kill_9_in_the_middle_of_a_change_is_known_afterwards(lab_home):
    first = up(STANDIN)
    code = """
        import time
        from dataclasses import replace
        from servers_standin import STANDIN
        from servers import supervisor
        engine = replace(STANDIN, reload=lambda now, new, say: time.sleep(600))
        supervisor.up(engine, settings={"patience_s": 50.0}, replace_other=True)
    """
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)], env=environment, cwd=paths.ROOT
    )
    try:
        eventually(lambda: instances.load("standin").changing)
    finally:
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert instances.load("standin").changing
    again = up(changeable(lambda now, new, say: pytest.fail("changed what is not known")))
    assert again.pid != first.pid
