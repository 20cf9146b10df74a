import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from written_runs import STATS, batch_of, write_run

from measure import server_metrics
from measure.errors import DamagedRunError, MeasureError, RunExistsError
from measure.records import SCHEMA, Clock, Record, Status
from measure.store import Gathering, RunWriter, list_runs, open_run, recover


def test_a_closed_run_holds_every_record_as_it_was_appended(tmp_path, make_manifest, make_record):
    records = [
        make_record(0.0, (0.1, 0.25)),
        make_record(1.0, (), status=Status.TIMEOUT, error="first token", http_status=200),
        make_record(2.0, clock=Clock.KERNEL, sent_s=None, prompt_tokens=7),
    ]
    write_run(tmp_path / "r", make_manifest(), records)
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
    writer = write_run(tmp_path / "r", make_manifest(), [make_record(0.0)], close=False)
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
        batch = batch_of(replace(make_record(float(number)), worker=number))
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
    message = batch_of(make_record(0.0)).serialize().to_pybytes()
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


def test_a_manifest_of_another_version_says_so(tmp_path, make_manifest):
    write_run(tmp_path / "r", make_manifest(), [])
    file = tmp_path / "r" / "manifest.json"
    file.write_text(file.read_text().replace("serving-lab/run/1", "serving-lab/run/99"))
    with pytest.raises(DamagedRunError, match="run/99"):
        open_run(tmp_path / "r")


def test_unknown_keys_of_a_manifest_are_kept(tmp_path, make_manifest):
    write_run(tmp_path / "r", make_manifest(colour="green"), [])
    assert open_run(tmp_path / "r").manifest["colour"] == "green"


def test_runs_are_listed_newest_first_and_strangers_left_out(tmp_path, make_manifest):
    for name in ("20260101-000000-a", "20260102-000000-b"):
        write_run(tmp_path / name, make_manifest(), [])
    (tmp_path / "stray.txt").write_text("")
    (tmp_path / "empty").mkdir()
    assert [run.run_id for run in list_runs(tmp_path)] == ["20260102-000000-b", "20260101-000000-a"]
    assert list_runs(tmp_path / "nowhere") == []


def test_a_missing_folder_is_an_error_that_names_it(tmp_path):
    for read in (open_run, recover):
        with pytest.raises(MeasureError, match="nowhere"):
            read(tmp_path / "nowhere")


def test_server_metrics_are_kept_with_the_run(tmp_path, make_manifest):
    write_run(tmp_path / "r", make_manifest(), [])
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
