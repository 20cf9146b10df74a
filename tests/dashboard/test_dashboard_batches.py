"""The mean batch, as the engine's own counters give it."""

import pyarrow as pa
import pytest

from dashboard.engine_side import mean_batches
from measure import server_metrics
from measure.window import Window
from servers.contract import Metric

HISTOGRAM = Metric("batch_size", "sizes", "histogram", "requests", "")
COUNTERS = (
    Metric("classify_inferences", "texts", "counter", "texts", "", selector={"model": ("a", "b")}),
    Metric("classify_executions", "calls", "counter", "calls", "", selector={"model": ("a", "b")}),
)
WINDOW = Window(1.0, 10.0)


def table(*series: tuple[str, dict[str, str], list[float]]) -> pa.Table:
    """Samples at 0, 1, 5 and 11 s."""
    rows = [
        (t_s, metric, list(labels.items()), value)
        for metric, labels, values in series
        for t_s, value in zip((0.0, 1.0, 5.0, 11.0), values, strict=True)
    ]
    return pa.table([list(c) for c in zip(*rows, strict=True)], schema=server_metrics.SCHEMA)


def test_of_a_histogram_it_is_what_was_observed_in_the_window_over_all_series():
    series = table(
        ("sizes_sum", {"worker": "1"}, [90, 100, 160, 900]),
        ("sizes_count", {"worker": "1"}, [90, 100, 120, 130]),
        ("sizes_sum", {"worker": "2"}, [0, 0, 40, 40]),
        ("sizes_count", {"worker": "2"}, [0, 0, 5, 5]),
    )
    assert mean_batches(series, (HISTOGRAM,), WINDOW) == [("Batch, requests", 4.0)]


def test_of_counters_it_is_one_over_the_other_of_the_series_that_carry_the_concept():
    series = table(
        ("texts", {"model": "a"}, [0, 0, 20, 20]),
        ("calls", {"model": "a"}, [0, 0, 5, 5]),
        ("texts", {"model": "b"}, [0, 0, 10, 10]),
        ("calls", {"model": "b"}, [0, 0, 10, 10]),
        ("texts", {"model": "other"}, [0, 0, 500, 500]),
        ("calls", {"model": "other"}, [0, 0, 1, 1]),
    )
    assert mean_batches(series, COUNTERS, WINDOW) == [("Batch, requests", 2.0)]


def test_tokens_counted_with_those_of_prompts_and_without_do_not_stand_in_one_row():
    steps = Metric("iteration_tokens", "sizes", "histogram", "tokens", "")
    output = Metric("output_tokens", "texts", "counter", "tokens", "")
    counted = Metric("steps", "calls", "counter", "steps", "")
    series = table(
        *(("sizes_sum", {}, [0, 0, 90, 90]), ("sizes_count", {}, [0, 0, 9, 9])),
        *(("texts", {}, [0, 0, 12, 12]), ("calls", {}, [0, 0, 4, 4])),
    )
    assert mean_batches(series, (steps, output), WINDOW) == [("Batch, all tokens a step", 10.0)]
    assert mean_batches(series, (output, counted), WINDOW) == [("Batch, output tokens a step", 3.0)]


def test_tokens_counted_when_answers_end_are_no_exact_batch_and_that_is_said():
    """Eight answers of 12 tokens each end in the window; 3 of their steps were before it."""
    output = Metric("output_tokens", "texts", "counter", "tokens", "", at_end=True)
    counted = Metric("steps", "calls", "counter", "steps", "")
    series = table(("texts", {}, [0, 0, 96, 96]), ("calls", {}, [0, 3, 12, 12]))
    ((title, mean),) = mean_batches(series, (output, counted), WINDOW)
    assert mean > 8
    assert title == "Batch, output tokens a step, of ended answers, rough"


@pytest.mark.parametrize("metrics", [(HISTOGRAM,), COUNTERS, ()])
def test_an_engine_that_computed_nothing_has_none(metrics):
    idle = table(("sizes_sum", {}, [7] * 4), ("sizes_count", {}, [7] * 4), ("texts", {}, [1] * 4))
    assert mean_batches(idle, metrics, WINDOW) == []
