"""Real `locust` as a subprocess against the reference server."""

import contextlib
import csv
import json
import signal
import socket
import threading
import time

import httpx
import numpy as np
import pyarrow.compute as pc
import pytest

from loadtests.wire import CONNECT_RETRY_S, KERNEL_STAMPS
from measure.store import open_run, recover

pytestmark = pytest.mark.load


def column(run, name):
    return run.records.column(name).to_pylist()


def wait_for(process, path, condition):
    """Wait for something of a run that goes on; the test's own timeout is the limit."""
    while process.poll() is None:
        if path.exists() and condition(path):
            return
        time.sleep(0.05)
    raise AssertionError(process.communicate()[1])


def finished_requests(path):
    return open_run(path).records.num_rows if (path / "manifest.json").exists() else 0


def test_a_closed_loop_leaves_the_three_files_and_the_truth_in_them(reference, locust, tmp_path):
    folder = tmp_path / "run"
    done = locust.run(
        "chat", "-H", reference.url, "-u", "4", "-r", "4", "-t", "3s", "--output-tokens", "6",
        "--model", "ref,ttft=0.05,gap=0.01,per_chunk=2", "--run-dir", str(folder),
        "--csv", str(tmp_path / "csv"), "--warmup", "1s", "--slo", "ttft=10",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert {entry.name for entry in folder.iterdir()} == {
        "manifest.json", "requests.parquet", "summary.json",
    }  # fmt: skip
    run = open_run(folder)
    assert run.finished
    ok = run.records.filter(pc.equal(run.records.column("status"), "ok")).to_pylist()
    assert len(ok) > 20
    for row in ok:
        # Six tokens in three chunks; the role-only chunk, sent at once, is none of them.
        assert (row["chunks"], row["output_tokens"], row["first_chunk_tokens"]) == (3, 6, 2)
        assert row["token_source"] == "usage"
        assert row["prompt_tokens"] == 7
        # The reference sleeps by another clock than the kernel stamps by: half a millisecond.
        assert row["first_content_s"] - row["sent_s"] >= 0.05 - 0.0005
        assert row["scheduled_s"] <= row["sent_s"] <= row["first_content_s"] <= row["done_s"]
        assert row["chunk_s"] == sorted(row["chunk_s"])
    assert set(column(run, "clock")) == {"kernel" if KERNEL_STAMPS else "user"}
    assert set(column(run, "status")) <= {"ok", "cancelled"}
    assert run.manifest["load"]["arrival"] == {"kind": "closed", "users": 4}
    assert run.summary["requests"]["failed"] == 0
    assert run.summary["client"]["max_in_flight"] == 4
    assert run.summary["slo_attainment"] == 1.0
    # Locust's own statistics go on working, and ours are printed with the folder.
    with (tmp_path / "csv_stats.csv").open() as file:
        rows = {row["Type"]: row for row in csv.DictReader(file)}
    assert int(rows["POST"]["Request Count"]) == int(rows[""]["Request Count"]) == len(ok)
    assert f"run: {folder}" in done.stdout


@pytest.mark.parametrize(
    ("scenario", "protocol"), [("completion", ""), ("chat", "kserve-generate")]
)
def test_the_other_protocols_give_whole_records(reference, locust, tmp_path, scenario, protocol):
    flags = ["--protocol", protocol] if protocol else []
    done = locust.run(
        scenario, "-H", reference.url, "-u", "2", "-t", "2s", "--output-tokens", "4",
        "--run-dir", str(tmp_path / "run"), *flags,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = open_run(tmp_path / "run")
    assert run.manifest["engine"]["model"] == "ref"
    ok = run.records.filter(pc.equal(run.records.column("status"), "ok")).to_pylist()
    assert {(row["chunks"], row["output_tokens"]) for row in ok} == {(4, 4)}
    assert {row["token_source"] for row in ok} == {"chunks" if protocol else "usage"}


@pytest.mark.parametrize(
    ("model", "limit", "status", "error"),
    [
        ("fail_at=3", [], "stream_error", "server_error: as it was asked"),
        ("drop_at=3", [], "stream_error", "disconnected"),
        ("stall_at=3,stall=60", ["--gap-timeout", "300ms"], "timeout", "gap_timeout"),
        ("stall_at=3,stall=60", ["--total-timeout", "0.3s"], "timeout", "total_timeout"),
    ],
)
def test_errors_in_the_middle_are_told_apart(
    reference, locust, tmp_path, model, limit, status, error
):
    """One token, as in the check beforehand, goes well; the fourth does not."""
    done = locust.run(
        "completion", "-H", reference.url, "-t", "2s", "--output-tokens", "8", *limit,
        "--model", f"ref,ttft=0.01,{model}", "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr  # Locust's own code for failed requests
    run = open_run(tmp_path / "run")
    ended = run.records.filter(pc.not_equal(run.records.column("status"), "cancelled"))
    assert ended.num_rows > 0
    assert set(ended.column("status").to_pylist()) == {status}
    assert all(text.startswith(error) for text in ended.column("error").to_pylist())
    assert set(ended.column("chunks").to_pylist()) == {3}
    assert run.summary["requests"]["failed"] == ended.num_rows
    assert run.summary["client"]["verdict"] == "invalid"


def test_an_open_loop_does_not_wait_for_a_stalled_server(start_reference, locust, tmp_path):
    """Starts go on at their times while the server answers nobody for two seconds."""
    server = start_reference("--stall-from", "3", "--stall-for", "2")
    done = locust.run(
        "completion", "-H", server.url, "--arrival", "constant", "--rate", "20", "-t", "7s",
        "--model", "ref,ttft=0.01,gap=0", "--output-tokens", "2", "--stop-timeout", "5",
        "--run-dir", str(tmp_path / "run"), "-u", "3",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "-u 3 is not used" in done.stderr
    run = open_run(tmp_path / "run")
    scheduled_s, sent_s = column(run, "scheduled_s"), column(run, "sent_s")
    assert len(scheduled_s) == pytest.approx(140, abs=4)
    places = sorted(round((at_s - min(scheduled_s)) * 20, 6) for at_s in scheduled_s)
    assert places == list(range(len(places)))
    # None was held back: of two seconds at 20 a second, all were in flight together. (The last
    # is due in the very moment in which the load ends.)
    assert all(sent_s[place] is not None for place in np.argsort(scheduled_s)[:-1])
    assert run.summary["client"]["max_in_flight"] >= 30
    slow = [
        first - at
        for first, at in zip(column(run, "first_content_s"), scheduled_s, strict=True)
        if first is not None
    ]
    assert sum(ttft_s > 0.5 for ttft_s in slow) >= 20
    assert run.manifest["load"]["arrival"]["kind"] == "constant"


def test_a_cap_that_bites_drops_arrivals_and_makes_the_run_invalid(reference, locust, tmp_path):
    locust.run(
        "completion", "-H", reference.url, "--arrival", "poisson", "--rate", "40", "-t", "3s",
        "--model", "ref,ttft=0.01,gap=0.2", "--output-tokens", "6", "--max-in-flight", "5",
        "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    run = open_run(tmp_path / "run")
    dropped = [text for text in column(run, "error") if text and text.startswith("max_in_flight")]
    assert len(dropped) > 10
    assert run.summary["client"]["max_in_flight"] == 5
    assert run.summary["client"]["verdict"] == "invalid"
    assert any("held back" in reason for reason in run.summary["client"]["reasons"])


def test_arrivals_that_the_client_is_too_late_to_start_were_offered_all_the_same(
    reference, locust, tmp_path
):
    """No client on one core starts 20,000 requests a second; the schedule asks for them."""
    rate_rps = 20_000
    locust.run(
        "completion", "-H", reference.url, "--arrival", "constant", "--rate", str(rate_rps),
        "-t", "2s", "--model", "ref,ttft=0.01,gap=0", "--output-tokens", "2",
        "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    run = open_run(tmp_path / "run")
    scheduled_s = sorted(column(run, "scheduled_s"))
    places = [round((at_s - scheduled_s[0]) * rate_rps) for at_s in scheduled_s]
    assert places == list(range(len(places)))
    assert len(set(column(run, "request_id"))) == len(places)
    # To the very end of the load.
    end_s = run.summary["window_s"]
    assert end_s - 1.01 / rate_rps <= scheduled_s[-1] < end_s
    assert run.summary["offered_rps"] == pytest.approx(len(places) / end_s)
    late = run.records.filter(pc.starts_with(run.records.column("error"), "late_client"))
    assert late.num_rows > 0
    assert set(late.column("status").to_pylist()) == {"cancelled"}
    assert set(late.column("sent_s").to_pylist()) == {None}
    assert run.summary["client"]["verdict"] == "invalid"
    assert any("requests were offered and" in why for why in run.summary["client"]["reasons"])


def in_vain_at_s(path, kind):
    records = open_run(path).records
    ended = records.filter(pc.starts_with(records.column("error"), kind))
    return sorted(ended.column("done_s").to_pylist())


def drop_everybody(listener):
    with contextlib.suppress(OSError):
        while True:
            listener.accept()[0].close()


@pytest.mark.parametrize("kind", ["connect_refused", "disconnected"])
def test_a_closed_loop_does_not_hammer_a_server_that_has_gone(reference, locust, tmp_path, kind):
    """Nobody listens any more, or somebody does who drops every connection at once."""
    folder = tmp_path / "run"
    with locust.start(
        "completion", "-H", reference.url, "-u", "1", "-t", "10m", "--output-tokens", "2",
        "--model", "ref,ttft=0.01,gap=0", "--run-dir", str(folder),
    ) as process:  # fmt: skip
        wait_for(process, folder, lambda path: finished_requests(path) > 5)
        reference.process.kill()
        reference.process.wait()
        with socket.socket() as listener:
            if kind == "disconnected":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(("127.0.0.1", int(reference.url.rsplit(":", 1)[1])))
                listener.listen()
                threading.Thread(target=drop_everybody, args=(listener,), daemon=True).start()
            wait_for(process, folder, lambda path: len(in_vain_at_s(path, kind)) > 6)
            process.send_signal(signal.SIGINT)
            process.communicate()
            if kind == "disconnected":
                listener.shutdown(socket.SHUT_RDWR)  # ends the thread's accept
    # The first may be the request under way when the server went; the last wait may have been
    # cut short by the end of the load.
    waits_s = np.diff(in_vain_at_s(folder, kind)[1:-1])
    assert waits_s.min() >= CONNECT_RETRY_S - 0.001


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_closed_and_keeps_its_records(reference, locust, tmp_path, sent):
    folder = tmp_path / "run"
    with locust.start(
        "completion", "-H", reference.url, "-u", "3", "-t", "10m", "--output-tokens", "20",
        "--model", "ref,ttft=0.01,gap=0.01", "--run-dir", str(folder),
    ) as process:  # fmt: skip
        wait_for(process, folder, lambda path: finished_requests(path) > 5)
        process.send_signal(sent)
        out, err = process.communicate()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    run = open_run(folder)
    assert run.finished
    assert column(run, "status").count("ok") > 5
    # Those under way are there too, as what they are.
    assert 1 <= column(run, "status").count("cancelled") <= 3
    assert f"run: {folder}" in out


def test_further_ctrl_c_while_the_last_answers_come_change_nothing(reference, locust, tmp_path):
    folder = tmp_path / "run"
    with locust.start(
        "completion", "-H", reference.url, "-u", "3", "-t", "10m", "--output-tokens", "20",
        "--model", "ref,ttft=0.01,gap=0.05", "--stop-timeout", "5s", "--run-dir", str(folder),
    ) as process:  # fmt: skip
        wait_for(process, folder, lambda path: finished_requests(path) > 5)
        for _ in range(8):
            process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        _, err = process.communicate()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    assert "this ends by itself" in err
    run = open_run(folder)
    assert run.finished
    assert set(column(run, "status")) <= {"ok", "cancelled"}


def test_kill_9_keeps_what_was_finished_a_second_before(reference, locust, tmp_path):
    folder = tmp_path / "run"
    with locust.start(
        "completion", "-H", reference.url, "-u", "2", "-r", "2", "-t", "10m",
        "--output-tokens", "2", "--model", "ref,ttft=0.02,gap=0.01", "--run-dir", str(folder),
    ) as process:  # fmt: skip
        wait_for(process, folder, lambda path: finished_requests(path) > 20)
        time.sleep(1.5)
        killed_at = time.time()
        process.kill()
    run = recover(folder)
    assert not run.finished
    # By the server's own log: all that it had answered a second before the kill is kept.
    answered = [line for line in reference.truth() if line["sent_s"][-1] < killed_at - 1.0]
    preflight = 1
    assert run.records.num_rows >= len(answered) - preflight
    assert set(column(run, "status")) == {"ok"}


def scrape(address):
    lines = httpx.get(f"http://{address}/metrics", timeout=60).text.splitlines()
    return {name: float(value) for name, value in (x.rsplit(" ", 1) for x in lines if x[0] != "#")}


def test_prometheus_is_told_where_the_client_is_while_it_runs(reference, locust, tmp_path):
    targets = tmp_path / "targets"
    targets.mkdir()
    folder = tmp_path / "run"
    with locust.start(
        "completion", "-H", reference.url, "-u", "2", "-t", "10m", "--output-tokens", "2",
        "--model", "ref,ttft=0.02", "--run-dir", str(folder), "--metrics-targets", str(targets),
    ) as process:  # fmt: skip
        wait_for(process, folder, lambda path: finished_requests(path) > 5)
        (target,) = json.loads((targets / "run.json").read_text())
        assert target["labels"]["job"] == "client"
        assert target["labels"]["instance"] == "run"
        labels = 'run_id="run",scenario="completion"'
        # What has been flushed to disk reaches the metrics within half a second.
        while not (series := scrape(target["targets"][0])).get(
            f'client_requests_total{{{labels},status="ok"}}'
        ):
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert series[f"client_ttft_seconds_count{{{labels}}}"] > 0
    assert series[f"client_chunk_gap_seconds_count{{{labels}}}"] > 0
    assert f"client_in_flight{{{labels}}}" in series
    assert list(targets.iterdir()) == []


def test_a_warm_up_by_count_is_kept_with_its_rule_and_cuts_the_window(reference, locust, tmp_path):
    folder = tmp_path / "run"
    done = locust.run(
        "completion", "-H", reference.url, "-u", "4", "-r", "4", "-t", "3s", "--run-dir",
        str(folder), "--model", "ref,ttft=0.02,gap=0.01", "--output-tokens", "4",
        "--warmup", "20req",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = open_run(folder)
    assert run.manifest["load"]["warmup"] == {"rule": "count", "requests": 20}
    ended = sorted(row["done_s"] for row in run.records.to_pylist() if row["status"] == "ok")
    assert run.window.start_s == ended[19]
    cut = run.summary["window"]
    assert cut["requests_before"] + run.summary["requests"]["total"] == run.records.num_rows
    assert "warm-up left out" in done.stdout
