"""Calibration: what is laid beside the truth, what follows from it, what is kept of it."""

import io
import json
from array import array
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lab import calibrate, calibrate_file
from lab.calibrate_level import Ceiling, Compared, Level, ceiling
from lab.calibrate_truth import decode, join
from lab.errors import LabError
from loadtests import calibration
from measure.manifest import machine
from measure.records import SCHEMA
from servers.reference.truth import Sent, Truth

LEVEL = Level(
    processes=1,
    streams=64,
    requests=100,
    unmatched=0,
    tokens_per_s=3_000.0,
    ttft_p50=Compared(0.3, 0.3),
    ttft_p99=Compared(1.3, 1.3),
    gap_p50=Compared(0.02, 0.02),
    gap_p99=Compared(0.021, 0.021),
    worst_ttft_error_s=0.0001,
    server_late_p99_s=0.001,
    cpu_us_per_chunk=20.0,
    verdict="valid",
    reasons=(),
)


HERE = {"cpu": "a", "cores": 2}


def answer(name: str, received_s: float, sent_s: list[float], outcome: str = "ok") -> Sent:
    one = Sent(name, received_s, True, outcome)
    one.sent_s, one.late_s = array("d", sent_s), array("f", [0.0] * len(sent_s))
    one.tokens = len(sent_s)
    return one


def encoded(*answers: Sent) -> bytes:
    truth = Truth()
    for one in answers:
        truth.begin(one)
    return truth.encode()


def table(*rows: dict) -> pa.Table:
    columns = dict.fromkeys(SCHEMA.names)
    fixed = {"worker": 0, "scheduled_s": 0.0, "token_source": "usage", "clock": "kernel"}
    return pa.Table.from_pylist([{**columns, **fixed, **row} for row in rows], schema=SCHEMA)


def row(name: str, sent_s: float, chunk_s: list[float], status: str = "ok") -> dict:
    first = chunk_s[0] if chunk_s else None
    return {
        "request_id": name, "sent_s": sent_s, "first_content_s": first, "chunk_s": chunk_s,
        "chunks": len(chunk_s), "status": status,
    }  # fmt: skip


@given(st.data())
def test_each_answer_is_laid_beside_its_own_truth_in_whatever_order_both_came(data):
    gaps = st.lists(st.floats(0.001, 1.0), min_size=1, max_size=6)
    answers = data.draw(st.lists(gaps, max_size=8))
    sent, rows = [], []
    for number, steps in enumerate(answers):
        times = np.cumsum(steps)
        sent.append(answer(f"run-0-{number}", 1e9 + number, [*(1e9 + number + times)]))
        # The client's clock has another zero, and it is a millisecond late throughout.
        rows.append(row(f"0-{number}", 5.0 * number, [*(5.0 * number + times + 0.001)]))
    truth = decode(encoded(*data.draw(st.permutations(sent))))
    joined = join(truth, table(*data.draw(st.permutations(rows))), "run")
    assert joined.unmatched == 0
    assert joined.ttft_true_s.size == len(answers)
    assert joined.gap_true_s.size == sum(len(steps) - 1 for steps in answers)
    assert joined.ttft_measured_s - joined.ttft_true_s == pytest.approx(0.001, abs=1e-6)
    assert joined.gap_measured_s == pytest.approx(joined.gap_true_s, abs=1e-6)


def test_what_cannot_be_compared_is_left_out_and_counted():
    truth = decode(
        encoded(
            answer("run-0-0", 0.0, [1.0, 2.0]),
            answer("run-0-1", 0.0, [1.0, 2.0, 3.0]),
            answer("run-0-2", 0.0, [1.0], "disconnect"),
            answer("other-0-3", 0.0, [1.0]),
        )
    )
    rows = [
        row("0-0", 0.0, [1.5, 2.0]),
        row("0-1", 0.0, [1.0, 2.0]),
        row("0-2", 0.0, [1.0]),
        row("0-3", 0.0, [1.0]),
        row("0-4", 0.0, [], "timeout"),
    ]
    joined = join(truth, table(*rows), "run")
    assert list(joined.ttft_true_s) == [1.0]
    assert list(joined.ttft_measured_s) == [1.5]
    assert (list(joined.gap_true_s), list(joined.gap_measured_s)) == ([1.0], [0.5])
    assert joined.unmatched == 3


@pytest.mark.parametrize(
    "raw",
    [b"", b"<html>\n", b'{"schema":"other"}\n', b"[]\n", encoded(answer("a", 0.0, [1.0]))[:-1]],
)
def test_what_is_not_the_truth_is_told_apart(raw):
    with pytest.raises(LabError, match="not its truth"):
        decode(raw)


@pytest.mark.parametrize(
    ("true_s", "measured_s", "within"),
    [(0.02, 0.0209, True), (0.02, 0.0211, False), (1.0, 1.009, True), (1.0, 1.011, False),
     (1.0, 0.989, False)],
)  # fmt: skip
def test_an_error_is_allowed_up_to_one_percent_or_one_millisecond(true_s, measured_s, within):
    assert Compared(true_s, measured_s).within is within


OFF = Compared(1.3, 1.4)


@pytest.mark.parametrize(
    ("levels", "found"),
    [
        ([LEVEL], Ceiling(3_000.0, None)),
        (
            [replace(LEVEL, streams=9, tokens_per_s=9.0, ttft_p99=OFF), LEVEL],
            Ceiling(0.0, "client"),
        ),
        (
            [LEVEL, replace(LEVEL, streams=256, tokens_per_s=9e3, ttft_p99=OFF)],
            Ceiling(3_000.0, "client"),
        ),
        (
            [replace(LEVEL, streams=256, tokens_per_s=9e3, server_late_p99_s=0.02), LEVEL],
            Ceiling(9e3, "server"),
        ),
        (
            [replace(LEVEL, server_late_p99_s=0.02), replace(LEVEL, streams=256, tokens_per_s=9e3)],
            Ceiling(9e3, None),
        ),
    ],
)
def test_the_ceiling_is_the_highest_rate_below_which_every_level_held(levels, found):
    assert ceiling(levels) == found


@pytest.mark.parametrize(
    "changed", [{"ttft_p50": Compared(0.3, 0.31)}, {"ttft_p99": OFF}, {"verdict": "invalid"}]
)
def test_a_level_that_does_not_hold_is_no_ceiling_and_nothing_is_kept_of_it(
    changed, tmp_path, monkeypatch
):
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path))
    out = io.StringIO()
    calibrate.finish([replace(LEVEL, **changed)], Console(file=out, width=100), keep=True)
    assert "not even the lowest level held" in out.getvalue()
    assert not (tmp_path / "calibration.json").exists()


def test_new_levels_replace_those_of_as_many_processes_and_no_others():
    two = replace(LEVEL, processes=2, tokens_per_s=6_000.0)
    first = calibrate_file.merged(None, [LEVEL], HERE, "monday", {})
    both = calibrate_file.merged(first, [two], HERE, "tuesday", {})
    again = calibrate_file.merged(both, [replace(LEVEL, tokens_per_s=4e3)], HERE, "friday", {})
    assert both["ceilings"] == {"1": 3_000.0, "2": 6_000.0}
    assert again["ceilings"] == {"1": 4_000.0, "2": 6_000.0}
    assert [(one["processes"], one["created"]) for one in again["levels"]] == [
        (2, "tuesday"),
        (1, "friday"),
    ]
    other = calibrate_file.merged(both, [LEVEL], {"cpu": "b", "cores": 2}, "friday", {})
    assert list(other["ceilings"]) == ["1"]
    json.dumps(again, allow_nan=False)


def test_a_run_gets_the_ceiling_of_its_machine_and_its_number_of_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path))
    assert calibration.applying(tmp_path, 1, machine()) is None
    calibrate_file.save([LEVEL])
    found = calibration.applying(tmp_path, 1, machine())
    assert found is not None
    assert found["ceiling_tokens_per_s"] == 3_000.0
    assert calibration.applying(tmp_path, 2, machine()) is None
    assert calibration.applying(tmp_path, 1, {**machine(), "cores": 99}) is None


@pytest.mark.parametrize("ceiling", ["NaN", "Infinity", "1e999", "-5", "1" + "0" * 400, "[1]"])
def test_a_ceiling_that_is_no_rate_gets_into_no_run(tmp_path, monkeypatch, ceiling):
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path))
    kept = calibrate_file.save([LEVEL])
    document = json.loads(kept.read_text()) | {"ceilings": {"1": "HERE"}}
    kept.write_text(json.dumps(document).replace('"HERE"', ceiling))
    assert calibration.applying(tmp_path, 1, machine()) is None


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"schema": "other"}', "\udcff", '{"levels": 3}', "[" * 100_000],
    ids=len,
)
def test_a_calibration_that_cannot_be_read_is_none(tmp_path, text):
    (tmp_path / "calibration.json").write_bytes(text.encode(errors="surrogateescape"))
    assert calibration.read(tmp_path) is None


@pytest.mark.parametrize(
    ("levels", "processes", "duration_s", "named"),
    [
        ("a,b", 1, None, "--levels"),
        ("0,4", 1, None, "--levels"),
        ("", 0, None, "--processes"),
        ("2,8", 3, None, "--processes"),
        ("8", 1, 0.5, "--duration"),
        ("8", 1, 2.5, "--duration"),
    ],
)
def test_what_cannot_be_calibrated_is_said_by_option(levels, processes, duration_s, named):
    with pytest.raises(LabError, match=named):
        calibrate.plan(levels, processes, duration_s, False)
