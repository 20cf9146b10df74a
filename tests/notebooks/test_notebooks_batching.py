"""What notebook 03 reads from a run, and its checks. Runs are made of known numbers."""

import math

import pyarrow as pa
import pytest

from measure import server_metrics
from measure.store import open_run
from notebooks import batching, checks_batching

QUICK = [0.004 + i * 1e-5 for i in range(40)]
SLOW = [0.009 + i * 1e-5 for i in range(40)]


@pytest.fixture
def make_classified(make_run):
    """A run on Triton with its counters: (inferences, batches, queue seconds, compute seconds)."""

    def make(latencies_s, *, requests=40, batches=40, queue_s=0.0, compute_s=0.0, settings=None):
        run = make_run("triton", latencies_s, engine="triton", settings=settings)
        gained = {
            "nv_inference_request_success": requests,
            "nv_inference_count": requests,
            "nv_inference_exec_count": batches,
            "nv_inference_queue_duration_us": queue_s * requests * 1e6,
            "nv_inference_compute_input_duration_us": 0.0,
            "nv_inference_compute_infer_duration_us": compute_s * requests * 1e6,
            "nv_inference_compute_output_duration_us": 0.0,
        }
        rows = [
            {"t_s": t_s, "metric": name, "labels": [("model", model)], "value": value}
            for name, gain in gained.items()
            for model, times in (("text_classifier", 1.0), ("llm", 7.0))
            for t_s, value in ((-1.0, 100.0), (1_000.0, 100.0 + gain * times))
        ]
        # The last scrape within the run's time is the one that counts.
        for row in rows:
            row["t_s"] = min(row["t_s"], run.window.end_s)
        table = pa.Table.from_pylist(rows, schema=server_metrics.SCHEMA)
        server_metrics.write(run.path, table)
        return open_run(run.path)

    return make


def test_the_parts_of_a_request_are_tritons_means_and_the_rest_is_the_clients(make_classified):
    run = make_classified(QUICK, batches=10, queue_s=0.003, compute_s=0.002)
    found = batching.parts(run)
    assert found.batch == pytest.approx(4.0)
    assert found.queue_s == pytest.approx(0.003) and found.compute_s == pytest.approx(0.002)
    assert found.whole_s == pytest.approx(run.summary["e2e_s"]["mean"])
    assert batching.waiting_share([run]) == [pytest.approx(0.003 / found.whole_s)]


def test_without_the_servers_series_the_parts_are_unknown_and_not_zero(make_run):
    found = batching.parts(make_run("triton", QUICK, engine="triton"))
    assert math.isnan(found.batch) and math.isnan(found.queue_s)


def test_the_table_has_a_row_a_run_by_what_was_set(make_classified):
    runs = [
        make_classified(SLOW, batches=10, queue_s=0.005),
        make_classified(QUICK, settings={"max_queue_delay_us": 0}),
    ]
    table = batching.table(*runs)
    assert list(table.index) == ["triton", "triton max_queue_delay_us=0"]
    assert list(table["average batch"]) == ["4", "1"]
    assert len(batching.bars(*runs).data) == 3


def test_speed_and_medians_are_compared_the_way_they_are_named(make_classified):
    slow, quick = make_classified(SLOW), make_classified(QUICK)
    assert batching.medians_apart_s(slow, quick) == pytest.approx(0.005)
    assert batching.medians_apart_s(quick, slow) == pytest.approx(-0.005)
    assert batching.speed_up(slow, quick) == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(
    ("answer_ms", "right"), [(5.0, True), (5.3, True), (0.005, False), (-5, False)]
)
def test_the_price_of_being_alone_is_in_milliseconds(make_classified, answer_ms, right):
    feedback = checks_batching.price_of_being_alone(
        make_classified(SLOW), make_classified(QUICK), answer_ms=answer_ms
    )
    assert feedback.ok == right
    assert right or "5" not in feedback.text


@pytest.mark.parametrize("answer", [None, "5", math.nan, True])
def test_a_price_that_is_no_number_is_asked_for_as_one(make_classified, answer):
    feedback = checks_batching.price_of_being_alone(
        make_classified(SLOW), make_classified(QUICK), answer_ms=answer
    )
    assert not feedback.ok and "number of milliseconds" in feedback.text


def test_the_longest_wait_is_the_largest_share_and_not_the_most_seconds(make_classified):
    runs = (
        make_classified([0.2] * 40, queue_s=0.05),
        make_classified(QUICK, queue_s=0.010, settings={"instances": 1}),
    )
    assert checks_batching.longest_wait(*runs, answer=1).ok
    wrong = checks_batching.longest_wait(*runs, answer=0)
    assert not wrong.ok and "share" in wrong.text
    mirrored = checks_batching.longest_wait(*reversed(runs), answer=1)
    assert mirrored.text == wrong.text


@pytest.mark.parametrize("answer", [None, 2, -1, "0", True, 0.0])
def test_a_row_that_is_not_there_is_told_the_rows(make_classified, answer):
    runs = (make_classified(SLOW), make_classified(QUICK, settings={"instances": 1}))
    feedback = checks_batching.longest_wait(*runs, answer=answer)
    assert not feedback.ok and "0: triton" in feedback.text


def test_a_run_without_tritons_numbers_is_named_as_the_trouble(make_classified, make_run):
    runs = (make_classified(SLOW), make_run("other", QUICK, engine="triton"))
    assert "load it again" in checks_batching.longest_wait(*runs, answer=0).text
