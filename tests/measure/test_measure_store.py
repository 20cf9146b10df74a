import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from measure import server_metrics
from measure.errors import DamagedRunError, MeasureError, RunExistsError
from measure.records import SCHEMA, Clock, Record, Status
from measure.shards import Rows, Shard, batches
from measure.store import Gathering, RunWriter, list_runs, open_run, recover
from measure.verdict import ClientStats

STATS = ClientStats(cpu_s=1.0, wall_s=10.0, max_in_flight=3)


def _run(path, manifest, records, close=True, **options):
    writer = RunWriter.create(path, manifest, **options)
    for record in records:
        writer.append(record)
    if close:
        writer.close(STATS)
    return writer


def _batch(*records):
    rows = Rows()
    for record in records:
        rows.append(record)
    return rows.batch()


def test_a_closed_run_holds_every_record_as_it_was_appended(tmp_path, make_manifest, make_record):
    records = [
        make_record(0.0, (0.1, 0.25)),
        make_record(1.0, (), status=Status.TIMEOUT, error="first token", http_status=200),
        make_record(2.0, clock=Clock.KERNEL, sent_s=None, prompt_tokens=7),
    ]
    _run(tmp_path / "r", make_manifest(), records)
    run = open_run(tmp_path / "r")
    assert run.finished and not run.running
    assert run.records.schema.equals(SCHEMA)
    assert [Record(**row) for row in run.records.to_pylist()] == records
    assert run.summary == json.loads((tmp_path / "r" / "summary.json").read_text())
    assert sorted(entry.name for entry in (tmp_path / "r").iterdir()) == [
        "manifest.json",
        "requests.parquet",
        "summary.json",
    ]


def test_close_returns_what_it_wrote_and_writes_no_nan(tmp_path, make_manifest):
    summary = RunWriter.create(tmp_path / "r", make_manifest()).close()
    text = (tmp_path / "r" / "summary.json").read_text()
    assert json.loads(text, parse_constant=pytest.fail) == summary


def test_an_unfinished_run_is_readable_while_it_goes_on(tmp_path, make_manifest, make_record):
    writer = _run(tmp_path / "r", make_manifest(), [make_record(0.0)], close=False)
    writer.flush()
    first = open_run(tmp_path / "r")
    assert (first.finished, first.running, first.records.num_rows) == (False, True, 1)
    assert any("did not finish" in reason for reason in first.summary["client"]["reasons"])
    writer.append(make_record(1.0))
    writer.flush()
    assert open_run(tmp_path / "r").records.num_rows == 2
    assert list_runs(tmp_path)[0].running
    writer.close(STATS)
    assert open_run(tmp_path / "r").finished


def test_a_run_just_created_is_readable_and_empty(tmp_path, make_manifest):
    writer = RunWriter.create(tmp_path / "r", make_manifest())
    assert open_run(tmp_path / "r").records.num_rows == 0
    writer.close()
    assert open_run(tmp_path / "r").records.num_rows == 0


def test_a_record_reaches_the_disk_though_nothing_follows_it(tmp_path, make_manifest, make_record):
    writer = RunWriter.create(tmp_path / "r", make_manifest(), flush_s=0.01)
    writer.append(make_record(0.0))
    deadline = time.monotonic() + 60
    while open_run(tmp_path / "r").records.num_rows == 0 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert open_run(tmp_path / "r").records.num_rows == 1
    writer.close()


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
        shard.write(_batch(make_record(float(number)), make_record(float(number) + 0.5)))
        ends.append(path.stat().st_size)
    shard.close()
    cut %= path.stat().st_size
    os.truncate(path, cut)
    assert len(list(batches(path))) == sum(end <= cut for end in ends)


def test_a_shard_spoilt_in_the_middle_is_named_and_not_read_as_torn(
    tmp_path, make_manifest, make_record
):
    writer = _run(tmp_path / "r", make_manifest(), [make_record(0.0)], close=False)
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


def test_each_batch_is_shown_once_it_is_written(tmp_path, make_manifest, make_record):
    shown = []
    writer = RunWriter.create(
        tmp_path / "r", make_manifest(), flush_s=1e6, on_batch=lambda b: shown.append(b.num_rows)
    )
    writer.append(make_record(0.0))
    writer.append(make_record(1.0))
    writer.flush()
    writer.flush()
    writer.append(make_record(2.0))
    writer.close()
    assert shown == [2, 1]


def test_what_several_workers_send_becomes_one_run(tmp_path, make_manifest, make_record):
    gathering = Gathering(tmp_path / "r", make_manifest(), workers=3)
    for number in (2, 0, 1, 2):
        batch = _batch(replace(make_record(float(number)), worker=number))
        assert gathering.take(number, batch.serialize().to_pybytes()).equals(batch)
    going_on = open_run(tmp_path / "r")
    assert going_on.running and going_on.records.num_rows == 4
    with pytest.raises(MeasureError, match="still being written"):
        recover(tmp_path / "r")
    gathering.close(STATS)
    run = open_run(tmp_path / "r")
    assert run.finished
    assert sorted(run.records.column("worker").to_pylist()) == [0, 1, 2, 2]


@pytest.mark.parametrize("cut", [0, 8, 200])
def test_what_is_no_batch_of_records_is_not_written(tmp_path, make_manifest, make_record, cut):
    gathering = Gathering(tmp_path / "r", make_manifest(), workers=1)
    message = _batch(make_record(0.0)).serialize().to_pybytes()
    with pytest.raises(MeasureError, match="no batch of records"):
        gathering.take(0, message[:cut])
    gathering.take(0, message)
    gathering.close(STATS)
    assert open_run(tmp_path / "r").records.num_rows == 1


def test_a_run_is_never_written_into_a_folder_that_holds_something(tmp_path, make_manifest):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunExistsError, match=str(tmp_path)):
        RunWriter.create(tmp_path, make_manifest())
    assert [entry.name for entry in tmp_path.iterdir()] == ["notes.txt"]


def test_a_folder_with_only_logs_in_it_may_become_a_run(tmp_path, make_manifest):
    (tmp_path / "logs").mkdir()
    RunWriter.create(tmp_path, make_manifest()).close()
    assert open_run(tmp_path).finished


def test_an_incomplete_manifest_begins_no_run(tmp_path, make_manifest):
    manifest = make_manifest()
    del manifest["load"]
    with pytest.raises(MeasureError, match="no load"):
        RunWriter.create(tmp_path / "r", manifest)
    assert not (tmp_path / "r").exists()


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
    _run(tmp_path / "good", make_manifest(), [make_record()])
    path = tmp_path / "run"
    _run(path, make_manifest(), [make_record()])
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


def test_a_parquet_file_of_something_else_is_not_a_run(tmp_path, make_manifest):
    _run(tmp_path / "r", make_manifest(), [])
    pa.parquet.write_table(pa.table({"a": [1]}), tmp_path / "r" / "requests.parquet")
    with pytest.raises(DamagedRunError, match=r"requests\.parquet"):
        open_run(tmp_path / "r")


def test_a_manifest_of_another_version_says_so(tmp_path, make_manifest):
    _run(tmp_path / "r", make_manifest(), [])
    file = tmp_path / "r" / "manifest.json"
    file.write_text(file.read_text().replace("serving-lab/run/1", "serving-lab/run/99"))
    with pytest.raises(DamagedRunError, match="run/99"):
        open_run(tmp_path / "r")


def test_unknown_keys_of_a_manifest_are_kept(tmp_path, make_manifest):
    _run(tmp_path / "r", make_manifest(colour="green"), [])
    assert open_run(tmp_path / "r").manifest["colour"] == "green"


def test_a_crash_between_compaction_and_the_end_counts_no_record_twice(
    tmp_path, make_manifest, make_record, monkeypatch
):
    writer = _run(tmp_path / "r", make_manifest(), [make_record(0.0)], close=False)
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
    writer = _run(tmp_path / "r", make_manifest(), [make_record(0.0)], close=False)

    def full_disk(path, value):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("measure.writer.write_json", full_disk)
        with pytest.raises(MeasureError, match=r"No space left.*recovered"):
            writer.close(STATS)
    assert open_run(tmp_path / "r").records.num_rows == 1
    assert recover(tmp_path / "r").records.num_rows == 1


def test_runs_are_listed_newest_first_and_strangers_left_out(tmp_path, make_manifest):
    for name in ("20260101-000000-a", "20260102-000000-b"):
        _run(tmp_path / name, make_manifest(), [])
    (tmp_path / "stray.txt").write_text("")
    (tmp_path / "empty").mkdir()
    assert [run.run_id for run in list_runs(tmp_path)] == ["20260102-000000-b", "20260101-000000-a"]
    assert list_runs(tmp_path / "nowhere") == []


def test_a_missing_folder_is_an_error_that_names_it(tmp_path):
    for read in (open_run, recover):
        with pytest.raises(MeasureError, match="nowhere"):
            read(tmp_path / "nowhere")


def test_server_metrics_are_kept_with_the_run(tmp_path, make_manifest):
    _run(tmp_path / "r", make_manifest(), [])
    assert open_run(tmp_path / "r").server_metrics is None
    rows = pa.Table.from_pylist(
        [{"t_s": 0.5, "metric": "up", "labels": [("job", "engine")], "value": 1.0}],
        schema=server_metrics.SCHEMA,
    )
    server_metrics.write(tmp_path / "r", rows)
    assert open_run(tmp_path / "r").server_metrics.equals(rows)
    with pytest.raises(MeasureError, match="t_s"):
        server_metrics.write(tmp_path / "r", pa.table({"value": [1.0]}))
    (tmp_path / "r" / "server_metrics.parquet").write_bytes(b"no")
    with pytest.raises(DamagedRunError, match="server_metrics"):
        _ = open_run(tmp_path / "r").server_metrics


def test_the_first_flush_imports_nothing(tmp_path):
    code = """
import sys
from pathlib import Path
from measure.records import Record
from measure.shards import Rows, Shard
shard, rows = Shard(Path(sys.argv[1])), Rows()
before = set(sys.modules)
rows.append(Record(request_id="0", worker=0, scheduled_s=0.0, chunk_s=[1.0], error="no"))
shard.write(rows.batch())
print(sorted(set(sys.modules) - before))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "0.arrows")],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"


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
    _run(tmp_path / "r", make_manifest(), [good[0], bad, *good[2:]])
    first, mended, *rest = [Record(**row) for row in open_run(tmp_path / "r").records.to_pylist()]
    assert [first, *rest] == [good[0], *good[2:]]
    assert (mended.request_id, mended.sent_s, mended.chunk_s) == ("bad", 1.0, good[1].chunk_s)
    assert mended.status == Status.STREAM_ERROR
    assert mended.error is not None and mended.error.startswith(f"not_storable: {said}")
