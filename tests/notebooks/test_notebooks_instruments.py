import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import httpx
import numpy as np
import psutil
import pytest

from lab.calibrate_truth import Truth
from measure import rosetta
from notebooks import checks, figures, instruments
from notebooks.errors import NotebookError
from servers.paths import ROOT


@pytest.fixture(scope="module")
def reference():
    """A real reference server: first token after 50 ms, then 20 ms a token."""
    flags = ["--ttft-ms", "50", "--ttft-tail", "0", "--gap-ms", "20"]
    argv = [sys.executable, "-m", "servers.reference", "--port", "0", *flags]
    with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        port = process.stdout.readline().rsplit(":", 1)[1].strip()
        yield SimpleNamespace(base_url=f"http://127.0.0.1:{port}", served_name="reference")
        process.send_signal(signal.SIGTERM)


def sent_by(*waits_s, request_id=None, received_s=None):
    count = len(waits_s)
    received = np.arange(count, dtype=float) if received_s is None else np.array(received_s)
    return Truth(
        request_id=request_id or [f"r{number}" for number in range(count)],
        outcome=["ok"] * count,
        received_s=received,
        tokens=np.ones(count, dtype=np.int64),
        offset=np.arange(count + 1),
        sent_s=received + np.array(waits_s),
        late_s=np.zeros(count),
        blocked=0,
        forgotten=0,
    )


def test_requests_are_laid_beside_the_truth_by_their_names():
    truth = sent_by(0.1, 0.2, 0.3, request_id=["a", "b", "c"])
    found = instruments.laid_beside(truth, {"c": 0.35, "b": 0.2, "strange": 9.0}, skip_s=0.0)
    assert found.true_s == pytest.approx([0.2, 0.3])
    assert found.error_s == pytest.approx([0.0, 0.05])


def test_the_first_second_of_a_client_is_left_out():
    truth = sent_by(0.1, 0.2, 0.3, received_s=[10.0, 10.9, 11.0])
    seen = {"r0": 0.1, "r1": 0.2, "r2": 0.3}
    assert instruments.laid_beside(truth, seen).true_s == pytest.approx([0.3])


def test_no_request_in_common_is_an_empty_comparison_and_an_empty_row():
    found = instruments.laid_beside(sent_by(0.1), {"other": 0.1})
    assert found.true_s.size == found.measured_s.size == 0
    assert instruments.accuracy({"nobody": found}).loc["nobody", "true p50"] == "–"


def test_accuracy_shows_true_and_measured_and_the_share_they_are_apart():
    one = instruments.Beside(np.full(200, 0.2), np.full(200, 0.3))
    row = instruments.accuracy({"a client": one}).loc["a client"]
    assert list(row) == ["200", "200 ms", "300 ms (+50.0%)", "200 ms", "300 ms (+50.0%)"]


def test_accuracy_gives_no_p90_of_too_few_requests():
    few = instruments.Beside(np.full(9, 0.2), np.full(9, 0.3))
    row = instruments.accuracy({"nine": few}).loc["nine"]
    assert list(row) == ["9", "200 ms", "300 ms (+50.0%)", "–", "–"]


def test_the_furthest_reading_of_each_metric_is_said_without_the_tool(make_run, capsys):
    run = make_run("reference", [0.1] * 40)
    instruments.furthest(run, "ttft_s", "tpot_s")
    ttft, tpot = capsys.readouterr().out.splitlines()
    assert ttft == "TTFT: no tool is 0.1% away."
    # An answer of n tokens: guidellm's TPOT has the TTFT in.
    line = next(
        one for one in rosetta.definitions(run) if (one.metric, one.level) == ("tpot_s", "p50")
    )
    share = max(abs(one.value / line.ours - 1) for one in line.readings if one.value is not None)
    assert f"{share:.1%}" in tpot and "guidellm" not in tpot
    instruments.furthest(make_run("reference", []), "tpot_s")
    assert capsys.readouterr().out == "TPOT: no number to hold against the lab's.\n"


def test_runs_are_told_by_what_was_read_together_asked_and_late(make_run, capsys):
    calm, starved = make_run("reference", [0.1] * 40, users=3), make_run("reference", [0.2] * 20)
    calm.summary["client"]["merged_first_chunks"] = 0.25
    calm.summary["schedule_delay_s"]["max"] = 0.5
    instruments.read_together({"calm": calm})
    instruments.asked({"calm": calm})
    first, second = capsys.readouterr().out.splitlines()
    assert first == "calm: in 25% of answers the first token was read with the next."
    assert "3 users asked" in second and second.endswith("at most 500 ms late.")
    calm.summary.update(achieved_rps=10.0, e2e_s={"mean": 0.2})
    starved.summary.update(achieved_rps=8.0, e2e_s={"mean": 0.3})
    assert instruments.apart(starved, calm) == "rate -20%, mean E2E +50%"


def test_a_client_that_was_too_hungry_for_any_answer_is_told_in_words(make_run, capsys):
    calm, nothing = make_run("reference", [0.1] * 40), make_run("reference", [])
    instruments.read_together({"starved": nothing})
    instruments.asked({"starved": nothing})
    for line in capsys.readouterr().out.splitlines():
        assert line.startswith("starved: nothing was answered: the client had too little of a core")
    assert "no mean E2E to compare" in instruments.apart(nothing, calm)


def test_figure_of_errors_has_a_line_for_each_client():
    figure = figures.errors({"good": np.array([1e-5, 2e-5]), "bad": np.array([0.2, 0.1])})
    assert [trace.name for trace in figure.data] == ["good", "bad"]
    assert "TTFT" in figure.layout.xaxis.title.text


def test_client_written_by_hand_is_compared_with_what_was_sent(reference, capsys):
    found = instruments.by_hand(reference, users=2, seconds=2, tokens=3)
    assert found.true_s.size > 4
    assert found.true_s == pytest.approx(0.05, abs=0.04)
    # Its clock is read after the first token was sent, never before.
    assert (found.error_s > 0).all()
    assert capsys.readouterr().out.startswith("$ python -m notebooks.plain_client http://")


def test_client_written_by_hand_that_breaks_off_says_why():
    nobody = SimpleNamespace(base_url="http://127.0.0.1:9", served_name="reference")
    with pytest.raises(NotebookError, match=r"broke off: .*ConnectError"):
        instruments.by_hand(nobody, users=1, seconds=1)


def hogs():
    return [
        one
        for one in psutil.Process().children(recursive=True)
        if instruments._HOG in one.cmdline()
    ]


def streams(reference, count):
    """A client of its own process, with so many answers under way for ten seconds."""
    code = (
        "import asyncio, sys; from notebooks import plain_client\n"
        f"asyncio.run(plain_client.main({reference.base_url!r}, 'reference', {count}, 1, 500))"
    )
    return subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, start_new_session=True)


def until(condition):
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it did not happen within ten seconds")


def test_starving_begins_with_the_load_binds_the_client_and_ends_with_the_block(reference):
    allowed = os.sched_getaffinity(0)
    with instruments.starved(reference, hogs=2, seconds=30.0):
        assert hogs() == []
        with streams(reference, 3) as client:
            until(lambda: len(hogs()) == 2)
            process = psutil.Process(client.pid)
            assert process.nice() == instruments._NICE
            assert process.cpu_affinity() == [max(allowed)]
            until(lambda: all(hog.cpu_affinity() == [max(allowed)] for hog in hogs()))
            client.kill()
    assert hogs() == []
    assert os.sched_getaffinity(0) == allowed
    assert psutil.Process().nice() == 0


def test_the_session_around_a_client_is_never_lowered():
    own = Path("/proc/self/autogroup")
    before = own.read_text() if own.exists() else None
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeper) as client:
        try:
            instruments._lower(psutil.Process(client.pid), instruments._NICE)
            assert psutil.Process(client.pid).nice() == instruments._NICE
        finally:
            client.kill()
    assert (own.read_text() if own.exists() else None) == before


def test_hogs_end_when_their_time_is_up_and_without_load_there_are_none(reference):
    done = threading.Event()
    nobody = SimpleNamespace(base_url="http://127.0.0.1:9")
    threading.Timer(0.5, done.set).start()
    instruments._starve(nobody, 2, 5.0, 12, set(), done)
    assert hogs() == []
    with streams(reference, 3) as client:
        until(lambda: instruments._sent(reference))
        before = {child.pid for child in psutil.Process().children(recursive=True)}
        instruments._starve(reference, 1, 0.5, 12, before, threading.Event())
        client.kill()
    assert hogs() == []


def test_one_request_asked_beforehand_is_not_the_load(reference):
    assert not instruments._sent(reference)
    body = {"model": "reference", "prompt": "a", "max_tokens": 20, "stream": True}
    with httpx.stream(
        "POST", f"{reference.base_url}/v1/completions", json=body, timeout=60
    ) as answer:
        next(answer.iter_lines())
        assert not instruments._sent(reference)


def test_definitions_and_reasons_read_one_run_in_the_words_of_other_tools(make_run, capsys):
    run = make_run("reference", [0.1] * 120, engine="reference")
    table = instruments.definitions(run)
    assert {"this lab", "guidellm", "aiperf"} <= set(table.columns)
    assert "TPOT p50" in table.index
    instruments.reasons(run, "tpot_s")
    said = capsys.readouterr().out
    assert "guidellm (TPOT)" in said and "(ITL)" not in said
    assert all(len(line) <= 100 for line in said.splitlines())


CLIENTS = instruments.Beside(np.array([0.1, 0.2, 0.3]), np.array([0.15, 0.9, 0.31]))


def test_largest_error_is_of_one_request_in_milliseconds():
    assert checks.largest_error(CLIENTS, answer_ms=700.0).ok
    assert checks.largest_error(CLIENTS, answer_ms=np.float64(701)).ok
    wrong = [checks.largest_error(CLIENTS, answer_ms=x) for x in (0.7, 900, 600, 50, 0)]
    assert len({feedback.text for feedback in wrong}) == 1
    assert not wrong[0].ok and "700" not in wrong[0].text


@pytest.mark.parametrize("answer", [None, "700", True, [700], float("nan"), float("inf")])
def test_largest_error_wants_a_number(answer):
    feedback = checks.largest_error(CLIENTS, answer_ms=answer)
    assert not feedback.ok and "milliseconds" in feedback.text


def test_largest_error_of_nothing_is_named_as_the_trouble():
    empty = instruments.Beside(np.empty(0), np.empty(0))
    assert "again" in checks.largest_error(empty, answer_ms=1.0).text


def test_share_of_the_client_is_read_from_the_means_of_the_run(make_run):
    run = make_run("reference", [0.1] * 40, rate_rps=1.0)
    run.summary["schedule_delay_s"]["mean"] = 0.03
    run.summary["ttft_from_schedule_s"]["mean"] = 0.12
    assert checks.client_share(run, answer=0.25).ok
    assert checks.client_share(run, answer=0.255).ok
    for wrong in (0.0, 0.23, 0.75, 1.0):
        feedback = checks.client_share(run, answer=wrong)
        assert not feedback.ok and "25" not in feedback.text
    for silly in (None, "0.25", True, -0.1, 25, float("nan")):
        assert "from 0 to 1" in checks.client_share(run, answer=silly).text
    empty = make_run("reference", [], rate_rps=1.0)
    assert "load it again" in checks.client_share(empty, answer=0.25).text


def test_furthest_tool_is_taken_from_the_definitions_of_the_run(make_run):
    run = make_run("reference", [0.1] * 40)

    def answer(name):
        return checks.furthest_tool(run, metric="tpot_s", level="p50", answer=name)

    # Its TPOT has the TTFT in.
    assert answer("guidellm").ok
    wrong = [answer("vllm bench serve"), answer("aiperf"), answer("genai-bench")]
    assert not any(feedback.ok for feedback in wrong)
    assert len({feedback.text for feedback in wrong}) == 1 and "guidellm" not in wrong[0].text
    for silly in (None, 3, "GuideLLM", ["guidellm"], ""):
        assert "the name of a tool" in answer(silly).text
    empty = make_run("reference", [])
    feedback = checks.furthest_tool(empty, metric="tpot_s", level="p50", answer="guidellm")
    assert not feedback.ok and "load it again" in feedback.text


def test_every_line_of_the_plain_client_is_a_finished_request(reference):
    argv = [sys.executable, "-m", "notebooks.plain_client", reference.base_url, "reference"]
    done = subprocess.run([*argv, "2", "0.3", "2"], cwd=ROOT, capture_output=True, text=True)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and lines
    assert all(line["ttft_s"] > 0.05 for line in lines)
    assert len({line["request_id"] for line in lines}) == len(lines)


@pytest.mark.parametrize(("answered", "loads"), [([30], 1), ([2, 30], 2), ([2, 0], 2)])
def test_a_client_too_hungry_to_learn_from_is_given_more_and_it_is_said(
    reference, monkeypatch, capsys, answered, loads
):
    runs = [SimpleNamespace(summary={"requests": {"ok": ok}}) for ok in answered]
    coming = iter(runs)
    asked = []

    def load(_instance, **flags):
        asked.append(flags)
        return next(coming)

    monkeypatch.setattr(instruments.kit, "load", load)
    assert instruments.load_starved(reference, users=2) is runs[-1]
    assert asked == [{"users": 2}] * loads
    assert ("too hungry" in capsys.readouterr().out) == (loads == 2)
