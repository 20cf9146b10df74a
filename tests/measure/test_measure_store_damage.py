"""What is left of a run after a kill, a full disk or damage, and what is said of it."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written_runs import STATS, batch_of, write_run

from measure.errors import DamagedRunError, MeasureError
from measure.records import SCHEMA, Record, Status
from measure.shards import Shard, batches
from measure.store import RunWriter, list_runs, open_run, recover

KILLED = """
import json, sys, time
from measure.records import Record
from measure.store import RunWriter
writer = RunWriter.create(sys.argv[1], json.loads(sys.argv[2]), flush_s=0.05)
for number in range(10**9):
    writer.append(Record(request_id=str(number), worker=0, scheduled_s=0.0, chunk_s=[1.0] * 50))
    if number % 100 == 0:
        time.sleep(0.001)
    if number % 1000 == 999:
        writer.flush()
        print(number + 1, flush=True)
"""


def test_what_was_flushed_survives_kill_9_and_is_recovered(tmp_path, make_manifest):
    path = tmp_path / "r"
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path), json.dumps(make_manifest())],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    for _ in range(5):
        flushed = int(child.stdout.readline())
    with pytest.raises(MeasureError, match="still being written"):
        recover(path)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()

    cut_off = open_run(path)
    assert not cut_off.finished and not cut_off.running
    ids = cut_off.records.column("request_id").to_pylist()
    assert len(ids) >= flushed
    assert ids == [str(number) for number in range(len(ids))]

    run = recover(path)
    assert not run.finished and run.records.equals(cut_off.records)
    assert not (path / "shards").exists() and (path / "requests.parquet").exists()
    assert run.summary["client"]["verdict"] != "valid"
    assert recover(path).records.num_rows == len(ids)


@given(cut=st.integers(min_value=1))
@settings(max_examples=150)
def test_a_shard_cut_anywhere_gives_the_batches_before_the_cut(tmp_path_factory, make_record, cut):
    path = tmp_path_factory.mktemp("shard") / "0.arrows"
    shard = Shard(path)
    ends = []
    for number in range(3):
        shard.write(batch_of(make_record(float(number)), make_record(float(number) + 0.5)))
        ends.append(path.stat().st_size)
    shard.close()
    cut %= path.stat().st_size
    os.truncate(path, cut)
    assert len(list(batches(path))) == sum(end <= cut for end in ends)


def test_a_shard_spoilt_in_the_middle_is_named_and_not_read_as_torn(
    tmp_path, make_manifest, make_record
):
    writer = write_run(tmp_path / "r", make_manifest(), [make_record(0.0)], close=False)
    writer.flush()
    writer.append(make_record(1.0))
    writer.flush()
    # A copy is locked by nobody, like the run of a writer that was killed.
    shutil.copytree(tmp_path / "r", tmp_path / "copy")
    writer.close()
    file = tmp_path / "copy" / "shards" / "0.arrows"
    data = bytearray(file.read_bytes())
    start = len(SCHEMA.serialize()) + 12
    data[start : start + 40] = bytes(40)
    file.write_bytes(data)
    with pytest.raises(DamagedRunError, match=r"shards/0\.arrows.*damaged"):
        open_run(tmp_path / "copy")
    with pytest.raises(DamagedRunError, match=r"0\.arrows"):
        recover(tmp_path / "copy")
    assert file.exists()


def test_a_failed_write_keeps_the_records_and_leaves_the_file_whole(
    tmp_path, make_manifest, make_record, monkeypatch
):
    writer = RunWriter.create(tmp_path / "r", make_manifest(), flush_s=1e6)
    writer.append(make_record(0.0))
    writer.flush()
    writer.append(make_record(1.0))
    real_write, room = os.write, [100, 0]

    def write_until_full(file, data):
        free = room.pop(0)
        if not free:
            raise OSError(28, "No space left on device")
        return real_write(file, data[:free])

    monkeypatch.setattr(os, "write", write_until_full)
    with pytest.raises(MeasureError, match="No space left"):
        writer.flush()
    monkeypatch.undo()
    file = tmp_path / "r" / "shards" / "0.arrows"
    assert [batch.num_rows for batch in batches(file)] == [1]
    writer.flush()
    assert [batch.num_rows for batch in batches(file)] == [1, 1]
    writer.close()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("manifest.json", None),
        ("manifest.json", b"{"),
        ("manifest.json", b"[]"),
        ("manifest.json", b"{}"),
        ("manifest.json", b"\xff\xfe"),
        ("summary.json", None),
        ("summary.json", b"nonsense"),
        ("summary.json", b"{}"),
        ("summary.json", b'{"window_s": NaN}'),
        ("requests.parquet", None),
        ("requests.parquet", b""),
        ("requests.parquet", b"PAR1 and then nothing"),
    ],
)
def test_a_damaged_run_names_the_file_and_is_listed_with_its_problem(
    tmp_path, make_manifest, make_record, name, content
):
    write_run(tmp_path / "good", make_manifest(), [make_record()])
    path = tmp_path / "run"
    write_run(path, make_manifest(), [make_record()])
    if content is None:
        (path / name).unlink()
    else:
        (path / name).write_bytes(content)
    with pytest.raises(DamagedRunError, match=name):
        open_run(path)
    listed = list_runs(tmp_path)
    assert listed[-1].run_id == "good" and listed[-1].problem is None
    if name == "manifest.json" and content is None:
        assert len(listed) == 1
    elif name != "requests.parquet":
        assert name in listed[0].problem


@pytest.mark.parametrize(
    ("name", "keys", "value", "said"),
    [
        ("summary.json", ("window",), "from 5 s on", "window must be object"),
        ("summary.json", ("window", "end_s"), None, "window.end_s must be number"),
        ("summary.json", ("window", "start_s"), 10**400, "start_s must be smaller"),
        ("summary.json", ("requests", "total"), "many", "requests.total must be integer"),
        ("summary.json", ("requests", "failed"), -1, "failed must be bigger"),
        ("summary.json", ("chunk_gap_s",), {}, "no chunk_gap_s.count, chunk_gap_s.p50"),
        ("summary.json", ("ttft_s", "p99"), [], "ttft_s.p99 must be number"),
        ("summary.json", ("ttft_s", "ci95", "p50"), [1.0], "ci95.p50 must contain at least 2"),
        ("summary.json", ("client",), None, "client must be object"),
        ("summary.json", ("client", "reasons"), [3], r"client.reasons\[0\] must be string"),
        ("manifest.json", ("epoch_s",), 1e300, "epoch_s must be smaller"),
        ("manifest.json", ("name",), 5, "name must be string"),
        ("manifest.json", ("name",), "half a letter: \ud800", "surrogates"),
        ("manifest.json", ("finished",), "no", "finished must be boolean"),
        ("manifest.json", ("engine", "settings"), [], "engine.settings must be object"),
        (
            "manifest.json",
            ("load", "arrival", "users"),
            "all",
            "load.arrival.users must be integer",
        ),
        ("manifest.json", ("load", "arrival"), {"kind": "ramp"}, "no load of the kind 'ramp'"),
        ("manifest.json", ("slo",), {"ttft_s": "fast"}, "slo.ttft_s must be"),
        ("manifest.json", ("slo",), {"ttft_s": 0}, "slo.ttft_s must be"),
    ],
)
def test_a_value_of_another_kind_is_named_where_the_run_is_opened(
    tmp_path, make_manifest, make_record, name, keys, value, said
):
    path = tmp_path / "run"
    write_run(path, make_manifest(), [make_record()])
    content = json.loads((path / name).read_text())
    place = content
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    (path / name).write_text(json.dumps(content))
    with pytest.raises(DamagedRunError, match=said):
        open_run(path)
    assert name in str(list_runs(tmp_path)[0].problem)


@pytest.mark.parametrize("odd", [math.inf, -math.inf, math.nan, 1e18])
@pytest.mark.parametrize("place", ["scheduled_s", "sent_s", "done_s", "chunk_s"])
def test_records_with_a_time_that_no_run_has_are_damaged(
    tmp_path, make_manifest, make_record, place, odd
):
    path = tmp_path / "run"
    write_run(path, make_manifest(), [make_record(), make_record()])
    rows = pa.parquet.read_table(path / "requests.parquet").to_pylist()
    rows[1][place] = [*rows[1][place], odd] if place == "chunk_s" else odd
    pa.parquet.write_table(pa.Table.from_pylist(rows, SCHEMA), path / "requests.parquet")
    with pytest.raises(DamagedRunError, match=f"a {place} in them is no time"):
        open_run(path)


def test_a_parquet_file_of_something_else_is_not_a_run(tmp_path, make_manifest):
    write_run(tmp_path / "r", make_manifest(), [])
    pa.parquet.write_table(pa.table({"a": [1]}), tmp_path / "r" / "requests.parquet")
    with pytest.raises(DamagedRunError, match=r"requests\.parquet"):
        open_run(tmp_path / "r")


def test_a_column_that_is_there_twice_is_damage(tmp_path, make_manifest, make_record):
    write_run(tmp_path / "r", make_manifest(), [make_record()])
    file = tmp_path / "r" / "requests.parquet"
    records = pa.parquet.read_table(file)
    pa.parquet.write_table(records.append_column("sent_s", records["sent_s"]), file)
    with pytest.raises(DamagedRunError, match=r"requests\.parquet"):
        open_run(tmp_path / "r")


def test_a_crash_between_compaction_and_the_end_counts_no_record_twice(
    tmp_path, make_manifest, make_record, monkeypatch
):
    writer = write_run(tmp_path / "r", make_manifest(), [make_record(0.0)], close=False)
    with monkeypatch.context() as patch:
        patch.setattr(
            "measure.run_files.drop_shards", lambda path: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            writer.close(STATS)
    assert (tmp_path / "r" / "shards").exists()
    assert open_run(tmp_path / "r").records.num_rows == 1
    run = recover(tmp_path / "r")
    assert run.finished and run.records.num_rows == 1
    assert not (tmp_path / "r" / "shards").exists()


def test_a_disk_that_fills_at_the_end_loses_no_record(
    tmp_path, make_manifest, make_record, monkeypatch
):
    writer = write_run(tmp_path / "r", make_manifest(), [make_record(0.0)], close=False)

    def full_disk(path, value):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("measure.writer.write_json", full_disk)
        with pytest.raises(MeasureError, match=r"No space left.*recovered"):
            writer.close(STATS)
    assert open_run(tmp_path / "r").records.num_rows == 1
    assert recover(tmp_path / "r").records.num_rows == 1


@pytest.mark.parametrize(
    ("unfit", "said"),
    [
        ({"output_tokens": 10**30}, "output_tokens=1000"),
        ({"prompt_tokens": "y"}, "prompt_tokens='y'"),
        ({"error": "\ud800"}, r"error='\ud800'"),
        ({"http_status": 2**40, "first_chunk_tokens": 1.5}, "http_status=1099511627776"),
        ({"chunks": 2**40}, "chunks=1099511627776"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_record_that_cannot_be_stored_takes_no_other_with_it(
    tmp_path, make_manifest, make_record, unfit, said
):
    good = [make_record(float(second)) for second in range(4)]
    bad = replace(good[1], request_id="bad", **unfit)
    write_run(tmp_path / "r", make_manifest(), [good[0], bad, *good[2:]])
    first, mended, *rest = [Record(**row) for row in open_run(tmp_path / "r").records.to_pylist()]
    assert [first, *rest] == [good[0], *good[2:]]
    assert (mended.request_id, mended.sent_s, mended.chunk_s) == ("bad", 1.0, good[1].chunk_s)
    assert mended.status == Status.STREAM_ERROR
    assert mended.error is not None and mended.error.startswith(f"not_storable: {said}")
