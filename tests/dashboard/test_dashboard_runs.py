import json
import math
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from dashboard_runs import damage, records, write_run

from dashboard import engine_side, quantities, runs, theme
from dashboard.compare import differences, tables, tiles
from dashboard.runs import LoadedRun, Unreadable
from measure import server_metrics
from measure.compare import Cell, Change, Comparison, Row, Setting, compare
from measure.verdict import ClientStats
from servers.catalog import ENGINES
from servers.contract import Metric
from servers.tgi.launch import COMPATIBLE


def _load(path: Path) -> LoadedRun:
    loaded = runs.load(path)
    assert isinstance(loaded, LoadedRun)
    return loaded


def test_values_are_those_the_summary_counts(tmp_path: Path) -> None:
    write_run(tmp_path, "a", records(1200))
    loaded = _load(tmp_path / "a")
    for key, values in loaded.values.items():
        assert values.size == loaded.run.summary[key]["count"]
        assert (np.diff(values) >= 0).all()


def test_tokens_over_time_add_up(tmp_path: Path) -> None:
    write_run(tmp_path, "a", records(1200))
    loaded = _load(tmp_path / "a")
    time_s, rate = loaded.tokens_per_s
    width_s = float(time_s[1] - time_s[0])
    all_tokens = 16 * sum(1 for i in range(1200) if i % 50 != 49)
    assert float(rate.sum() * width_s) == pytest.approx(all_tokens, rel=0.03)
    assert time_s.size <= 80


def test_the_effective_counts_of_the_figures_are_those_of_the_summary(tmp_path: Path) -> None:
    write_run(tmp_path, "a", records(1200)[::-1])
    loaded = _load(tmp_path / "a")
    for key, counts in loaded.effective.items():
        assert counts[0.5] == loaded.run.summary[key]["effective_count"]
    assert list(loaded.effective["ttft_s"]) == [0.5, 0.9, 0.95, 0.99, 0.999]


def test_an_unfinished_run_is_read_and_says_that_it_goes_on(tmp_path: Path) -> None:
    writer = write_run(tmp_path, "a", records(300), finish=False)
    loaded = _load(tmp_path / "a")
    assert loaded.run.running
    assert loaded.values["ttft_s"].size > 0
    assert any("still goes on" in doubt for doubt in tables.doubts(loaded.run))
    before = runs.fingerprint(tmp_path / "a")
    writer.append(records(1)[0])
    writer.flush()
    assert runs.fingerprint(tmp_path / "a") != before
    writer.close()


def test_a_damaged_run_is_a_reason_and_no_error(tmp_path: Path) -> None:
    damage(tmp_path, "broken")
    for name in ("broken", "missing"):
        found = runs.load(tmp_path / name)
        assert isinstance(found, Unreadable)
        assert name in found.reason


def test_runs_of_an_address_may_be_joined_or_repeated() -> None:
    assert runs.names_in(["a,b", "c"], {"a"}) == ["a", "b", "c"]
    assert runs.names_in(["a,b"], {"a,b"}) == ["a,b"]
    assert runs.names_in(["a, a", ""], {"a"}) == ["a"]
    assert runs.to_query(["a", "b"]) == "a,b"
    assert runs.to_query(["a,b", "c"]) == ["a,b", "c"]
    assert runs.names_in([str(runs.to_query(["a", "b"]))], {"a", "b"}) == ["a", "b"]


def test_the_table_has_intervals_and_a_ratio_for_two_runs(tmp_path: Path) -> None:
    write_run(tmp_path, "a", records(1200))
    write_run(tmp_path, "b", records(1200, ttft_s=0.4, seed=2), settings={"max_num_seqs": 1})
    both = [_load(tmp_path / name) for name in "ab"]
    comparison = compare([one.run for one in both])
    table = tables.numbers(comparison, ["a", "b"]).set_index("")
    median = both[0].run.summary["ttft_s"]["p50"]
    assert table.loc["TTFT p50", "a"].startswith(f"{median * 1000:.3g} ms")
    assert "[" in table.loc["TTFT p50", "a"]
    assert table.loc["TTFT p50", "second ÷ first"].endswith("differ")
    settings = differences.table(comparison, ["a", "b"], ENGINES).set_index("")
    assert list(settings.loc["max_num_seqs"]) == ["16", "1"]


def test_a_mean_is_left_out_where_an_engine_makes_the_sum_up_from_its_buckets(
    tmp_path: Path,
) -> None:
    write_run(tmp_path, "a", records(1200))
    series = [
        ("x_ms_bucket", [("le", "100")], [0.0, 1000.0]),
        ("x_ms_bucket", [("le", "+Inf")], [0.0, 1000.0]),
        ("x_ms_sum", [], [0.0, 50_000.0]),
        ("x_ms_count", [], [0.0, 1000.0]),
    ]
    rows = [(t, *line[:2], line[2][i]) for line in series for i, t in enumerate((0.0, 59.0))]
    table = pa.table([list(one) for one in zip(*rows, strict=True)], schema=server_metrics.SCHEMA)
    run = _load(tmp_path / "a").run
    for exact, mean_s in ((True, 0.05), (False, math.nan)):
        metric = Metric("e2e", "x_ms", "histogram", "s", "", 1e-3, exact_sum=exact)
        line, *_ = engine_side.engine_lines(table, [metric], run.window, run.summary)
        assert line.mean_s == pytest.approx(mean_s, nan_ok=True)
        assert line.bounds is not None


def test_an_engine_s_histogram_counts_only_what_carries_its_concept(tmp_path: Path) -> None:
    """The probes of its health go through the same histogram, and are no load."""
    write_run(tmp_path, "a", records(1200))
    observed = {"/classify": (0.0, 80.0, 40.0), "/version": (900.0, 900.0, 0.9)}
    rows = [
        (t_s, name, [("route", route), *bucket], value if t_s else 0.0)
        for route, (below, count, total_s) in observed.items()
        for name, bucket, value in (
            ("x_bucket", [("le", "0.01")], below),
            ("x_bucket", [("le", "+Inf")], count),
            ("x_sum", [], total_s),
            ("x_count", [], count),
        )
        for t_s in (0.0, 59.0)
    ]
    table = pa.table([list(one) for one in zip(*rows, strict=True)], schema=server_metrics.SCHEMA)
    run = _load(tmp_path / "a").run
    for routes in ("/classify", ("/classify", "/predict")):
        metric = Metric("e2e", "x", "histogram", "s", "", selector={"route": routes})
        for line in engine_side.engine_lines(table, [metric], run.window, run.summary):
            assert (line.bounds.lower, line.mean_s) == (0.01, 0.5)


def test_the_engine_s_histogram_stands_beside_the_client_s_number(tmp_path: Path) -> None:
    write_run(tmp_path, "a", records(1200))
    engine = ENGINES["vllm"]
    name = next(metric.name for metric in engine.metrics if metric.concept == "ttft")
    series = [
        (f"{name}_bucket", {"le": "0.05"}, [0.0, 100.0]),
        (f"{name}_bucket", {"le": "0.1"}, [0.0, 700.0]),
        (f"{name}_bucket", {"le": "+Inf"}, [0.0, 1000.0]),
        (f"{name}_sum", {}, [0.0, 90.0]),
        (f"{name}_count", {}, [0.0, 1000.0]),
    ]
    rows = [
        (t_s, metric, list(labels.items()), value)
        for metric, labels, values in series
        for t_s, value in zip((0.0, 59.0), values, strict=True)
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    server_metrics.write(tmp_path / "a", pa.table(columns, schema=server_metrics.SCHEMA))
    table, notes = tables.engine_numbers([_load(tmp_path / "a").run], ["a"], ENGINES)
    median = table.set_index("").loc["TTFT p50"]
    assert median["engine · a"] == "50–100 ms  (mean 90 ms)"
    assert median["client · a"].endswith("ms")
    assert table.set_index("").loc["TTFT p99", "engine · a"].startswith("> 100 ms")
    assert notes == []


def test_damaged_server_metrics_are_a_note(tmp_path: Path) -> None:
    write_run(tmp_path, "a", records(200))
    (tmp_path / "a" / "server_metrics.parquet").write_bytes(b"nothing")
    table, notes = tables.engine_numbers([_load(tmp_path / "a").run], ["a"], ENGINES)
    assert table.empty
    assert "cannot be read" in notes[0]


def test_a_run_without_server_metrics_says_so(tmp_path: Path) -> None:
    write_run(tmp_path, "a", records(200))
    table, notes = tables.engine_numbers([_load(tmp_path / "a").run], ["a"], ENGINES)
    assert table.empty
    assert notes == ["a: no server_metrics.parquet was kept with this run."]
    writer = write_run(tmp_path, "b", records(200), finish=False)
    _, notes = tables.engine_numbers([_load(tmp_path / "b").run], ["b"], ENGINES)
    assert notes == ["b: its engine's series are written when the run ends."]
    writer.close()


def test_a_run_s_title_tells_its_state(tmp_path: Path) -> None:
    from measure.store import list_runs

    write_run(tmp_path, "a", records(60), name="before the change")
    writer = write_run(tmp_path, "b", records(60), finish=False)
    titles = {info.run_id: tables.title(info) for info in list_runs(tmp_path)}
    assert titles == {"a": "a (before the change)", "b": "b · running"}
    writer.close()


@pytest.mark.parametrize(
    ("title", "called"), [(COMPATIBLE, COMPATIBLE), (ENGINES["tgi"].title, "tgi"), (None, "tgi")]
)
def test_a_runs_tile_says_where_a_stand_in_was_measured(
    tmp_path: Path, title: str | None, called: str
) -> None:
    write_run(tmp_path, "a", records(5), engine="tgi", title=title)
    loaded = _load(tmp_path / "a")
    html = tiles.render([loaded], theme.lines_for_runs(["a"], dark=False))
    assert f">{called} · 8 users<" in html


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        (Cell(0.0208, (0.0207, 0.0213)), "20.8 ms  [20.7–21.3]"),
        (Cell(0.99, (0.9, 1.1)), "990 ms  [900 ms–1.1 s]"),
        (Cell(1.0, (0.9, 1.0)), "1 s  [900 ms–1 s]"),
        (Cell(0.5, None), "500 ms"),
    ],
)
def test_a_number_with_its_interval_has_its_unit_once_where_both_have_it(
    cell: Cell, said: str
) -> None:
    row = Row("e2e_s", "p50", "s", (cell,))
    frame = tables.numbers(Comparison(("a",), ("a",), (row,), (), ()), ["a"])
    assert list(frame["a"]) == [said]


@pytest.mark.parametrize(
    ("ratio", "bounds", "said"),
    [
        (1.0002, (1.0001, 1.0003), "× 1, differ by less than is shown"),
        (1.5, (1.4, 1.6), "× 1.5  [1.4–1.6]  differ"),
    ],
)
def test_a_difference_too_small_to_be_shown_is_said_in_words(
    ratio: float, bounds: tuple[float, float], said: str
) -> None:
    row = Row(
        "itl_s",
        "p50",
        "s",
        (Cell(1.0), Cell(ratio)),
        (None, Change(ratio - 1, ratio, bounds, True)),
    )
    frame = tables.numbers(Comparison(("a", "b"), ("a", "b"), (row,), (), ()), ["a", "b"])
    assert list(frame["second ÷ first"]) == [said]


def test_a_knob_that_one_engine_alone_has_is_shown_only_where_somebody_set_it() -> None:
    def rows(**values: tuple[object, object]) -> list[str]:
        kinds = ("triton", "bentoml")
        found = [Setting("engine.name", kinds), Setting("engine.instance", kinds)]
        found += [Setting(f"engine.settings.{name}", pair) for name, pair in values.items()]
        comparison = Comparison(("a", "b"), ("a", "b"), (), tuple(found), ())
        return list(differences.table(comparison, ["a", "b"], ENGINES)[""])

    batches = next(one for one in ENGINES["triton"].knobs if one.kind == "ints")
    assert isinstance(batches.default, tuple)
    usual = {batches.name: (list(batches.default), None), "max_latency_ms": (None, 60_000)}
    assert rows(**usual) == ["engine.name"]
    assert rows(max_latency_ms=(None, 500)) == ["engine.name", "max_latency_ms"]
    assert rows(max_batch_size=(64, 32)) == ["engine.name", "max_batch_size"]


def test_answers_in_one_piece_have_no_ttft_and_their_latency_its_own_name() -> None:
    streamed, whole = {"chunk_gap_s": {"count": 9}}, {"chunk_gap_s": {"count": 0}}
    titles = {one.key: one.title for one in quantities.of_runs(whole, whole)}
    assert "ttft_s" not in titles
    assert titles["ttft_from_schedule_s"] == "E2E from schedule"
    assert quantities.of_runs(streamed, whole) == quantities.QUANTITIES


def test_a_list_of_runs_is_as_fresh_as_their_files(tmp_path: Path) -> None:
    write_run(tmp_path, "a", records(50))
    going = write_run(tmp_path, "b", records(50), finish=False)
    assert [(one.run_id, one.running) for one in runs.listed(tmp_path)] == [
        ("b", True),
        ("a", False),
    ]
    again = {one.run_id: one for one in runs.listed(tmp_path)}
    assert again["a"] is {one.run_id: one for one in runs.listed(tmp_path)}["a"]
    going.close(ClientStats(cpu_s=1.0, wall_s=9.0, max_in_flight=9, loop_lag_p99_s=0.001))
    damage(tmp_path, "c")
    manifest = json.loads((tmp_path / "a" / "manifest.json").read_text())
    (tmp_path / "a" / "manifest.json").write_text(json.dumps(manifest | {"name": "new"}))
    c, b, a = runs.listed(tmp_path)
    assert c.problem and b.finished and not b.running
    assert a.manifest is not None and a.manifest["name"] == "new"
    shutil.rmtree(tmp_path / "a")
    assert [one.run_id for one in runs.listed(tmp_path)] == ["c", "b"]
