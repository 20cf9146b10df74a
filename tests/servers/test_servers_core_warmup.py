"""Warm-up: when it ends, what it reports, and what becomes of a start whose warm-up fails."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from eventually import eventually
from hypothesis import given
from hypothesis import strategies as st
from servers_standin import STANDIN, processes_of

from servers import instances, paths, supervisor, warmup
from servers.contract import WarmRequest
from servers.errors import ServerError
from servers.instances import Instance, WarmKind, WarmUp

ASKS = (WarmRequest("/one", {"text": "a"}), WarmRequest("/two", {"text": "b"}))
WARMED = replace(STANDIN, warm_requests=lambda _: ASKS)


def up(say=lambda _: None, warm=True, **settings) -> Instance:
    return supervisor.up(WARMED, settings=settings, warm=warm, say=say)


@pytest.mark.parametrize(
    "latencies_s",
    [
        [5.0, 0.2, 0.2, 0.2, 0.2, 0.2],
        [0.2, 0.2, 0.2, 0.2, 0.2, 0.2],
        [5.0, 3.0, 2.0, 0.2, 0.2, 0.2, 0.22, 0.2, 9.0],  # One stall is no trend.
        [0.0010, 0.0011, 0.0010, 0.0020, 0.0019, 0.0021],  # A millisecond is the machine's.
    ],
)
def test_latencies_that_no_longer_change_have_settled(latencies_s):
    assert warmup.settled(latencies_s)


@pytest.mark.parametrize(
    "latencies_s",
    [
        [],
        [0.2],
        [0.2] * 5,  # Too few to compare two windows.
        [5.0, 4.0, 3.0, 2.0, 1.5, 1.0],
        [0.2, 0.2, 0.2, 0.4, 0.4, 0.4],  # Slower is not settled either.
        [5.0, 5.0, 0.2, 0.2, 0.2, 0.2],  # Two slow ones of three.
    ],
)
def test_latencies_that_fall_or_rise_or_are_few_have_not_settled(latencies_s):
    assert not warmup.settled(latencies_s)


@given(st.lists(st.floats(0.001, 100), max_size=20), st.floats(0.001, 100))
def test_whatever_came_before_six_equal_answers_are_settled(before, latency_s):
    assert warmup.settled([*before, *[latency_s] * 6])


@given(st.lists(st.floats(0.0001, 100), min_size=6, max_size=20))
def test_settling_looks_at_the_last_six_answers_only(latencies_s):
    assert warmup.settled(latencies_s) == warmup.settled(latencies_s[-6:])


def test_a_cold_start_is_warmed_by_real_requests_in_turn_and_reports_both_ends(lab_home):
    said = []
    instance = up(said.append, behaviour="cold")
    report = instance.warmup
    assert report is not None and instance.ready_s is not None
    assert [kind.path for kind in report.kinds] == ["/one", "/two"]
    assert report.settled
    assert report.requests == sum(len(kind.latencies_s) for kind in report.kinds) >= 12
    assert all(kind.first_s > 0.3 > kind.last_s for kind in report.kinds)
    assert "warm after" in said[-1] and "/one" in said[-1]
    ready = next(i for i, line in enumerate(said) if "ready after" in line)
    assert "warming up" in said[ready + 1]
    assert instances.load("standin") == instance


def test_without_warm_up_nothing_is_asked_and_a_later_up_makes_it_good_once(lab_home):
    cold = up(warm=False, behaviour="cold")
    assert cold.warmup is None
    warm = up(behaviour="cold")
    assert warm.pid == cold.pid
    # The first answers were still slow: nobody had asked before.
    assert warm.warmup is not None and warm.warmup.kinds[0].first_s > 0.3
    assert up(behaviour="cold") == warm


def test_a_warm_one_is_not_started_anew_when_a_cold_one_is_asked_and_that_is_said(lab_home):
    warm, said = up(), []
    again = up(said.append, warm=False)
    assert again.pid == warm.pid
    assert "has been warmed up; stop it first" in said[-1]


def test_an_engine_with_nothing_to_warm_is_ready_when_it_is_ready(lab_home):
    assert supervisor.up(STANDIN, say=lambda _: None).warmup is None


def test_a_cap_ends_what_does_not_settle_and_the_report_says_so(lab_home, monkeypatch):
    monkeypatch.setattr(warmup, "_MOST_S", 0.3)
    said = []
    report = up(said.append, behaviour="never settles").warmup
    assert report is not None and not report.settled
    assert "had not settled" in said[-1]


def test_rounds_are_capped_too(lab_home, monkeypatch):
    monkeypatch.setattr(warmup, "_MOST_ROUNDS", 4)
    report = up(behaviour="good").warmup
    assert report is not None and not report.settled
    assert report.requests == 8


@pytest.mark.parametrize(
    ("behaviour", "named"),
    [
        ("refuses", r"POST /one with status 400: \{\"text\": \"a\"\}"),
        ("fails in the stream", r"status 200 and an error: .*out of memory"),
        ("quits", r"no whole answer(.|\n)*ValueError: no kernel for this device"),
    ],
)
def test_a_warm_up_that_fails_is_a_start_that_failed(lab_home, behaviour, named):
    with pytest.raises(ServerError, match=named):
        up(behaviour=behaviour)
    assert instances.names() == []
    assert processes_of(lab_home) == []


def test_a_running_one_whose_warm_up_fails_is_left_running(lab_home):
    cold = up(warm=False, behaviour="refuses")
    with pytest.raises(ServerError, match="status 400"):
        up(behaviour="refuses")
    assert instances.status(cold) == "running"


def test_ctrl_c_while_it_warms_up_stops_what_was_started(lab_home):
    code = """
        from test_servers_core_warmup import up
        print("READY", flush=True)
        up(lambda line: print(line, flush=True), behaviour="never settles")
    """
    environment = {**os.environ, "PYTHONPATH": f"{Path(__file__).parent}:{paths.ROOT}"}
    program = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**environment, "SERVING_LAB_HOME": str(lab_home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert any("warming up" in line for line in program.stdout)
    program.send_signal(signal.SIGINT)
    _, errors = program.communicate(timeout=60)
    assert "KeyboardInterrupt" in errors
    assert eventually(lambda: processes_of(lab_home) == [])
    assert instances.names() == []


def test_a_warm_up_survives_the_state_file():
    report = WarmUp(4, 1.5, False, (WarmKind("/a", (0.5, 0.1)), WarmKind("/b", (0.2, 0.2))))
    assert WarmUp.from_json(json.loads(json.dumps(asdict(report)))) == report
    assert (report.kinds[0].first_s, report.kinds[0].last_s) == (0.5, 0.3)


def test_up_of_what_is_stopped_while_it_warms_up_says_so(lab_home):
    said: list[str] = []
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(up, said.append, behaviour="never settles")
        assert eventually(lambda: any("warming up" in line for line in said))
        assert supervisor.down("standin", say=lambda _: None) == ["standin"]
        with pytest.raises(ServerError, match=r"'standin' was stopped while it started"):
            starting.result(timeout=60)
