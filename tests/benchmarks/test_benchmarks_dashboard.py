"""The full store that the dashboard is timed with, and the table of what was timed."""

from pathlib import Path

import numpy as np

from benchmarks import dashboard, dashboard_store
from benchmarks.dashboard import Took
from measure.records import SCHEMA
from measure.store import list_runs, open_run


def test_the_store_is_of_whole_runs_and_is_written_once(tmp_path: Path) -> None:
    written = list(dashboard_store.fill(tmp_path, 3, 1200))
    assert written == [dashboard_store.name(number, 1200) for number in range(3)]
    assert list(dashboard_store.fill(tmp_path, 3, 1200)) == []
    assert list(dashboard_store.fill(tmp_path, 4, 1200)) == [dashboard_store.name(3, 1200)]
    infos = list_runs(tmp_path)
    assert [info.problem for info in infos] == [None] * 4
    run = open_run(infos[0].path)
    assert run.finished
    assert run.records.num_rows == 1200
    assert run.summary["requests"]["failed"] == np.sum(
        np.arange(1200)[np.arange(1200) / dashboard_store.RATE_RPS >= 10] % 100 == 99
    )
    assert run.summary["client"]["verdict"] == "valid"


def test_what_is_drawn_has_the_columns_of_a_record_and_times_that_rise() -> None:
    batch = dashboard_store.drawn(np.random.default_rng(1), 90, 20)
    assert batch.schema.equals(SCHEMA)
    row = batch.to_pylist()[0]
    assert len(row["chunk_s"]) == row["chunks"] == row["output_tokens"] == dashboard_store.CHUNKS
    assert row["sent_s"] < row["first_content_s"] < row["last_content_s"] < row["done_s"]
    failed = batch.to_pylist()[9]
    assert (failed["status"], failed["chunk_s"], failed["first_content_s"]) == (
        "http_error",
        [],
        None,
    )


def test_what_is_too_slow_or_too_large_is_not_good() -> None:
    assert Took("a", (0.1, 1.4, 9.0), 10**8, limited=True).good
    assert not Took("a", (0.1, 1.6, 9.0), 10**8, limited=True).good
    assert Took("a", (0.1, 1.6, 9.0), 10**8).good
    assert not Took("a", (0.1,), 2 * 10**9).good


def test_the_table_has_a_line_for_each() -> None:
    text = dashboard.table([Took("Runs", (1.0, 2.0, 3.0), 250_000_000, limited=True)])
    assert text.splitlines()[-1] == "| Runs | 2.00 s | 3.00 s | 1.5 s | 250 MB |"
