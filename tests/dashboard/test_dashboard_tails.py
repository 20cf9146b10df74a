"""The page Tails: its figures, tables and sums, and its logic run without a browser."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from dashboard_runs import HOSTILE, damage, records, write_run
from streamlit.testing.v1 import AppTest

from dashboard import early, runs, tail_figure
from dashboard.runs import LoadedRun
from dashboard.samples import Sample
from dashboard.tails import carry, heat, serial, split, split_figure, split_tables
from dashboard.theme import Line
from measure import server_metrics
from measure.quantiles import quantile
from measure.records import Record, Status
from servers.contract import Metric

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")
PATIENCE_S = 60
LINE = Line("#0072b2", "solid")
TTFT = Metric("ttft", "x_ttft", "histogram", "s", "")
QUEUE = Metric("queue_time", "x_queue", "histogram", "s", "")
PREFILL = Metric("prefill_time", "x_prefill", "histogram", "s", "")
E2E = Metric("e2e", "x_e2e", "histogram", "s", "")


def _page(**params: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=PATIENCE_S)
    app.query_params.update(params)
    return app.switch_page("views/tails.py").run()


def _words(app: AppTest) -> str:
    kinds = ("markdown", "caption", "subheader", "text", "info", "warning", "error", "code")
    return "\n".join(str(one.value) for kind in kinds for one in app.get(kind))


def _loaded(lab: Path, made: list[Record], **changes: object) -> LoadedRun:
    write_run(lab / "runs", "one", made, **changes)
    found = runs.load(lab / "runs" / "one")
    assert isinstance(found, LoadedRun)
    return found


def _whole(count: int) -> list[Record]:
    """Answers in one piece, as classifiers give them."""
    return [
        replace(
            one,
            last_content_s=one.first_content_s,
            chunk_s=one.chunk_s[:1],
            chunks=min(one.chunks, 1),
            output_tokens=None,
            first_chunk_tokens=None,
        )
        for one in records(count)
    ]


def _series(*gains: tuple[str, float, float], kind: str = "histogram") -> pa.Table:
    """Engine series that gain (metric, total, count) between 0 s and 5.5 s."""
    rows = []
    for name, total, count in gains:
        values = (
            {(f"{name}_sum", ""): total, (f"{name}_count", ""): count,
             (f"{name}_bucket", "0.05"): count / 2, (f"{name}_bucket", "0.5"): count,
             (f"{name}_bucket", "+Inf"): count}
            if kind == "histogram"
            else {(name, ""): total}
        )  # fmt: skip
        for t_s, share in ((0.0, 0.0), (5.5, 1.0)):
            rows += [
                {"t_s": t_s, "metric": metric, "labels": [("le", le)] if le else [],
                 "value": value * share}
                for (metric, le), value in values.items()
            ]  # fmt: skip
    return pa.Table.from_pylist(rows, schema=server_metrics.SCHEMA)


# Heatmap


@pytest.mark.parametrize("key", ["ttft_s", "e2e_s", "chunk_gap_s"])
def test_every_value_of_the_run_is_in_one_cell(lab: Path, key: str) -> None:
    made = records(300)
    found = heat.heat(_loaded(lab, made).run, key)
    assert found is not None
    ok = sum(one.status is Status.OK for one in made)
    assert found.counts.sum() == ok * (15 if key == "chunk_gap_s" else 1)
    assert found.failed.sum() == 300 - ok
    assert found.span.start_s == 5.0


def test_a_value_stands_where_and_when_it_was(lab: Path) -> None:
    made = [replace(one, status=Status.OK) for one in records(49)]
    found = heat.heat(_loaded(lab, made, warmup_s=0.0).run, "ttft_s")
    assert found is not None
    for one in made:
        column = np.searchsorted(found.time_edges_s, one.sent_s, side="right") - 1
        ttft = one.first_content_s - one.sent_s  # type: ignore[operator]
        row = np.searchsorted(found.value_edges, ttft, side="right") - 1
        assert found.counts[row, column] >= 1


def test_gaps_of_nothing_are_in_the_lowest_row(lab: Path) -> None:
    made = [replace(one, chunk_s=[one.chunk_s[0]] * 3 + one.chunk_s[1:2], chunks=4)
            for one in records(40)]  # fmt: skip
    found = heat.heat(_loaded(lab, made, warmup_s=0.0).run, "chunk_gap_s")
    assert found is not None
    assert found.counts[0].sum() >= 2 * 40
    assert found.counts.sum() == 3 * 40


def test_an_answer_before_its_request_is_in_the_lowest_row_and_in_no_lost_one(lab: Path) -> None:
    made = [
        replace(one, first_content_s=(one.sent_s or 0.0) - 0.5) if i % 20 == 0 else one
        for i, one in enumerate(records(300))
    ]
    found = heat.heat(_loaded(lab, made).run, "ttft_s")
    assert found is not None
    assert found.counts.sum() == sum(one.status == Status.OK for one in made)


def test_a_run_in_which_all_failed_shows_its_failures(lab: Path) -> None:
    made = [records(50)[49]]
    found = heat.heat(_loaded(lab, made, warmup_s=0.0).run, "ttft_s")
    assert found is not None
    assert (found.counts.sum(), found.failed.sum()) == (0, 1)
    figure = heat.figure(found, LINE, "s", heat.value_range([found]))
    assert [trace.type for trace in figure.data] == ["heatmap", "scatter"]
    assert len(heat.numbers(found, "one", "s")) == 1


def test_the_figure_marks_the_window(lab: Path) -> None:
    found = heat.heat(_loaded(lab, records(300)).run, "ttft_s")
    assert found is not None
    figure = heat.figure(found, LINE, "s", heat.value_range([found]))
    edges = {shape.x0 for shape in figure.layout.shapes if shape.type == "line"}
    assert 5.0 in edges


# Split


def test_the_pieces_add_up_to_the_mean_from_schedule(lab: Path) -> None:
    one = _loaded(lab, records(300))
    series = _series(("x_ttft", 8.0, 100), ("x_queue", 1.0, 100), ("x_prefill", 5.0, 100))
    found = split.split(one.run, [TTFT, QUEUE, PREFILL], series)
    assert found is not None
    means = {piece.name: piece.mean_s for piece in found.pieces}
    assert math.fsum(means.values()) == pytest.approx(found.total_s)
    assert found.client_s == pytest.approx(one.run.summary["ttft_s"]["mean"])
    assert found.total_s == pytest.approx(one.run.summary["ttft_from_schedule_s"]["mean"])
    assert means["queue_time"] == pytest.approx(0.01)
    assert means[split.REST] == pytest.approx(0.02)
    assert means[split.RESIDUAL] == pytest.approx(found.client_s - 0.08)
    assert not found.missing


def test_what_the_engine_does_not_say_is_in_the_residual_and_named(lab: Path) -> None:
    one = _loaded(lab, records(300))
    found = split.split(one.run, [QUEUE], _series(("x_queue", 1.0, 100)))
    assert found is not None
    assert found.missing == ("ttft", "prefill_time")
    assert found.pieces[-1].mean_s == pytest.approx(found.client_s - 0.01)
    assert "ttft, prefill_time" in split_tables.remarks([found])[0]
    assert found.pieces[-1].name == split.RESIDUAL


def test_a_residual_below_zero_is_shown_and_said(lab: Path) -> None:
    one = _loaded(lab, records(300))
    found = split.split(one.run, [TTFT], _series(("x_ttft", 100.0, 100)))
    assert found is not None
    assert found.pieces[-1].mean_s < 0
    assert any("below zero" in remark for remark in split_tables.remarks([found]))
    assert min(split_figure.figure([found], {"one": "one"}, False).data[-1].x) < 0


@pytest.mark.parametrize(("times", "said"), [(1, False), (3, True)])
def test_means_of_other_requests_than_the_client_s_are_said(
    lab: Path, times: int, said: bool
) -> None:
    one = _loaded(lab, records(300))
    alone = split.split(one.run, [TTFT], None)
    assert alone is not None
    counted = times * alone.count
    found = split.split(one.run, [TTFT], _series(("x_ttft", 0.03 * counted, counted)))
    assert found is not None and found.pieces[-1].mean_s > 0
    assert any(f"of {counted} requests" in one for one in split_tables.remarks([found])) is said


def test_a_short_name_of_digits_is_a_name_and_no_number(lab: Path) -> None:
    found = split.split(_loaded(lab, records(300)).run, [TTFT], _series(("x_ttft", 100.0, 100)))
    assert found is not None
    figure = split_figure.figure([found], {"one": "065702"}, False)
    assert (figure.data[0].y[0], figure.layout.yaxis.type) == ("065702", "category")


def test_whole_answers_are_split_to_their_end(lab: Path) -> None:
    one = _loaded(lab, _whole(300))
    found = split.split(one.run, [E2E, QUEUE], _series(("x_e2e", 8.0, 100), ("x_queue", 1.0, 100)))
    assert found is not None
    assert found.what == "e2e"
    assert found.engine is not None
    assert found.engine.mean_s == pytest.approx(0.08)


def test_sums_of_microseconds_over_requests_are_means(lab: Path) -> None:
    one = _loaded(lab, _whole(300))
    metrics = [
        Metric("classify_queue_time", "q_us", "counter", "s", "", 1e-6),
        Metric("classify_requests_ok", "n", "counter", "requests", ""),
    ]
    found = split.split(one.run, metrics, _series(("q_us", 2e6, 0), ("n", 100, 0), kind="counter"))
    assert found is not None
    assert {piece.name: piece.mean_s for piece in found.pieces}["queue_time"] == pytest.approx(0.02)


def test_a_sum_made_up_from_buckets_is_no_mean(lab: Path) -> None:
    one = _loaded(lab, _whole(300))
    made_up = replace(QUEUE, exact_sum=False)
    found = split.split(one.run, [made_up], _series(("x_queue", 1.0, 100)))
    assert found is not None
    assert "queue_time" not in {piece.name for piece in found.pieces}
    assert "from buckets" in split_tables.remarks([found])[0]


def test_without_series_or_answers_nothing_is_made_up(lab: Path) -> None:
    one = _loaded(lab, records(300))
    found = split.split(one.run, [TTFT], None)
    assert found is not None
    assert [piece.name for piece in found.pieces] == [split.WAIT, split.RESIDUAL]
    assert "server_metrics" in split_tables.remarks([found])[0]
    write_run(lab / "runs", "failed", [records(50)[49]], warmup_s=0.0)
    failed = runs.load(lab / "runs" / "failed")
    assert isinstance(failed, LoadedRun)
    assert split.split(failed.run, [TTFT], None) is None


def test_the_table_has_bounds_of_the_engine_and_exact_quantiles_of_the_client(lab: Path) -> None:
    one = _loaded(lab, records(300))
    found = split.split(one.run, [TTFT], _series(("x_ttft", 8.0, 100)))
    assert found is not None
    table = split_tables.table([found], {"one": "one"}).set_index("Piece")
    assert table.loc["TTFT, engine", "p50"] == "≤ 50 ms"
    assert table.loc["TTFT, engine", "p99"] == "50–500 ms"
    assert table.loc["TTFT, client", "p99"].endswith("ms")
    assert set(split.titles()) == set(split_figure.lines(False))


# Serial calls


def _sample(values: np.ndarray) -> Sample:
    return Sample("one", LINE, np.sort(values), {})


def test_one_call_is_the_run_itself() -> None:
    values = np.random.default_rng(1).lognormal(0, 1, 2_000)
    found = serial.serial(values, 1, 3)
    assert found is not None
    assert (
        found.one == found.slowest == {"p50": quantile(values, 0.5), "p99": quantile(values, 0.99)}
    )
    assert found.independent == pytest.approx(found.in_order)
    assert found.left_out == 3


def test_the_table_says_what_a_small_sample_does_not_carry() -> None:
    found = serial.serial(np.linspace(0.1, 0.2, 40), 10, 0)
    assert found is not None
    table = serial.table([("one", found)], "s").set_index("")["one"]
    assert table["Slowest of 10, p99"] == "–"
    assert table["Sum of 10, p99"] == "–"
    assert table["Sum of 10, p50"].startswith("1.5 s")
    assert "too few" in table["… in the order of the run"]


def test_no_value_no_numbers() -> None:
    assert serial.serial(np.empty(0), 10, 0) is None
    assert serial.table([], "s").empty
    assert not serial.chance_figure([_sample(np.empty(0))], 10, "s").data
    assert not serial.slowest_figure([_sample(np.empty(0))], 10, "s").data


def test_the_chance_falls_and_is_higher_for_more_calls() -> None:
    sample = _sample(np.random.default_rng(2).exponential(1.0, 5_000))
    value, chance = serial.chances(sample, 10)
    assert (np.diff(chance) <= 0).all()
    assert (chance > serial.chances(sample, 1)[1]).all()
    assert value[-1] < sample.values[-1]
    at = np.searchsorted(value, quantile(sample.values, 0.9))
    assert chance[at] == pytest.approx(1 - 0.9**10, abs=0.01)


def test_one_value_is_a_sample_too() -> None:
    sample = _sample(np.array([0.25]))
    assert serial.serial(sample.values, 5, 0) is not None
    assert serial.slowest_points(sample, 0.5, 100) == [(1, 0.25)]
    alone, several = serial.chance_figure([sample], 5, "s").data
    assert alone.text[0] == "1 call, above 250 ms"
    assert several.text[0] == "5 calls, above 250 ms"


# How far a sample carries


def test_a_curve_that_ends_early_says_of_how_many_values_it_is() -> None:
    few, many = _sample(np.linspace(1, 2, 50)), _sample(np.linspace(1, 2, 2_000))
    figure = tail_figure.figure([few, many], "s")
    before = len(figure.data)
    carry.mark_ends(figure, [few, few, many])
    ends = figure.data[before:]
    assert [trace.text[0] for trace in ends] == ["50 values", ""]
    table = carry.table([few, many]).set_index("Values")
    assert table.loc["50", "Carried to"] == "p95"
    assert table.loc["50", "For p99.9"] == "20 times as many"
    assert table.loc["2,000", "For p99.9"] == "carried, without an interval"


# The page


def test_no_run_says_how_to_make_one(lab: Path) -> None:
    app = _page()
    assert not app.exception
    assert "No run yet" in _words(app)
    assert "lab run" in app.code[0].value


def test_two_runs_have_all_figures_and_the_address_names_the_view(lab: Path) -> None:
    for name in ("a", "b"):
        write_run(lab / "runs", name, records(300))
    app = _page(runs="a,b", metric="E2E", calls="25")
    assert not app.exception
    assert len(app.get("plotly_chart")) == 1 + 2 + 1 + 2
    assert app.number_input(key="calls").value == 25
    words = _words(app)
    assert "**E2E\\: the tail" in words
    assert "chance that one of 25 calls is slower" in words
    assert any("Sum of 25, p99" in list(table.value.get("", [])) for table in app.dataframe)


def test_a_run_that_goes_on_has_its_engine_s_series_at_its_end(lab: Path) -> None:
    writer = write_run(lab / "runs", "a", records(300), finish=False)
    words = _words(_page(runs="a")).replace("\\", "")
    writer.close()
    assert "its engine's series are written when the run ends" in words
    assert "no server_metrics.parquet was kept" not in words


def test_a_gap_between_chunks_is_no_call(lab: Path) -> None:
    write_run(lab / "runs", "a", records(300))
    app = _page(metric="Chunk gap", calls="1")
    assert not app.exception
    assert "**Chunk gap\\: the tail" in _words(app)
    assert "**E2E\\: chance that a call is slower" in _words(app)


def test_the_split_takes_the_series_kept_with_the_run(lab: Path) -> None:
    write_run(lab / "runs", "a", records(300), engine="vllm")
    series = _series(("vllm:time_to_first_token_seconds", 8.0, 100))
    server_metrics.write(lab / "runs" / "a", series)
    app = _page()
    assert not app.exception
    table = next(one.value for one in app.dataframe if "Piece" in one.value.columns)
    assert table.set_index("Piece").loc["TTFT, engine", "Mean"] == "80 ms"


def test_classifiers_are_split_to_the_end_of_the_answer(lab: Path) -> None:
    write_run(lab / "runs", "a", _whole(300))
    app = _page()
    assert not app.exception
    assert "Mean E2E from schedule" in _words(app)


@pytest.mark.parametrize("made", [records(1), [records(50)[49]]])
def test_one_request_answered_or_failed_is_no_error(lab: Path, made: list[Record]) -> None:
    write_run(lab / "runs", "a", made, warmup_s=0.0)
    app = _page()
    assert not app.exception
    assert ("has been answered" in _words(app)) == (made[0].status is not Status.OK)


def test_series_that_cannot_be_read_are_said_and_take_no_figure_with_them(lab: Path) -> None:
    write_run(lab / "runs", "a", records(300))
    (lab / "runs" / "a" / server_metrics.FILE).write_bytes(b"PAR1 and nothing")
    app = _page()
    assert not app.exception
    assert any("cannot be read as server metrics" in str(one.value) for one in app.warning)
    assert "chance" in "".join(str(one.proto.id) for one in app.get("plotly_chart"))


def test_buckets_of_nan_are_no_quantiles(lab: Path) -> None:
    assert split._bounds({0.1: float("nan"), float("inf"): 2.0}, 0.5) is None


def test_a_window_without_records_is_said(lab: Path) -> None:
    write_run(lab / "runs", "a", records(60), warmup_s=30.0)
    app = _page()
    assert not app.exception
    assert "No request in the window" in _words(app)


def test_a_running_run_and_a_damaged_one_are_shown_for_what_they_are(lab: Path) -> None:
    writer = write_run(lab / "runs", "a", records(300), finish=False)
    damage(lab / "runs", "broken")
    app = _page(runs="a,broken")
    assert not app.exception
    words = _words(app)
    assert "still goes on" in words
    assert "cannot be read" in words
    assert app.get("plotly_chart")
    writer.close()


def test_hostile_names_are_text(lab: Path) -> None:
    write_run(lab / "runs", "a", records(300), name=HOSTILE, model=HOSTILE, engine=HOSTILE)
    app = _page(runs="a")
    assert not app.exception
    markdown = [str(one.value) for one in (*app.markdown, *app.caption)]
    for shown in [
        *markdown,
        *(one.proto.body.replace(early.script(), "") for one in app.get("html")),
    ]:
        assert "<script" not in shown
        assert "<img" not in shown
