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


def test_without_the_servers_series_the_parts_are_unknown_and_not_zero(make_run):
    found = batching.parts(make_run("triton", QUICK, engine="triton"))
    assert math.isnan(found.batch) and math.isnan(found.queue_s)


def test_the_table_has_a_row_a_run_by_its_name_and_a_dash_for_what_is_not_known(
    make_classified, make_run
):
    runs = {
        "slow": make_classified(SLOW, batches=10, queue_s=0.005),
        "quick": make_classified(QUICK),
        "bare": make_run("other", QUICK, engine="triton"),
    }
    table = batching.table(runs)
    assert list(table.index) == ["slow", "quick", "bare"]
    assert list(table["average batch"]) == ["4", "1", "–"]
    figure = batching.bars(runs)
    assert figure.data[0].name == "waiting in the queue"
    assert figure.data[0].x[0] == pytest.approx(0.005)


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


def test_a_model_is_busy_for_the_batches_it_computes_times_what_one_takes(make_classified):
    run = make_classified(QUICK, batches=10, compute_s=0.02)
    rate_rps = run.summary["answered_rps"]
    assert batching.busy(run) == pytest.approx(rate_rps / 4 * 0.02)


def test_the_idlest_model_is_not_the_one_that_computes_quickest(make_classified):
    """As many texts in both, but one computes them by eights."""
    runs = {
        "batched": make_classified(SLOW, batches=5, queue_s=0.1, compute_s=0.02),
        "single": make_classified(QUICK, batches=40, compute_s=0.01),
    }
    assert checks_batching.idlest(runs, answer="batched").ok
    wrong = checks_batching.idlest(runs, answer="single")
    assert not wrong.ok and "how long does one take" in wrong.text
    mirrored = {"batched": runs["single"], "single": runs["batched"]}
    assert checks_batching.idlest(mirrored, answer="batched").text == wrong.text


@pytest.mark.parametrize("answer", [None, 1, "neither", ["long"], True])
def test_a_name_that_is_not_there_is_told_the_names(make_classified, answer):
    feedback = checks_batching.idlest({"long": make_classified(SLOW)}, answer=answer)
    assert not feedback.ok and "name of a run: long" in feedback.text


def test_a_run_without_tritons_numbers_is_named_as_the_trouble(make_classified, make_run):
    runs = {"a": make_classified(SLOW), "b": make_run("other", QUICK, engine="triton")}
    assert "load it again" in checks_batching.idlest(runs, answer="a").text
