import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dashboard.theme import lines_for_runs
from measure.quantiles import interval_ranks, quantile
from notebooks import figures, tails

LATENCIES = np.random.default_rng(1).lognormal(-2, 0.8, 4_000)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.002, 0.9))
def test_calls_until_likely_is_the_first_number_beyond_one_half(share):
    calls = tails.calls_until_likely(share)
    assert 1 - (1 - share) ** calls > 0.5
    assert calls == 1 or 1 - (1 - share) ** (calls - 1) <= 0.5


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, math.nan])
def test_share_without_such_a_number_of_calls_is_refused(share):
    with pytest.raises(ValueError, match="share of slow calls"):
        tails.calls_until_likely(share)


def test_independent_calls_are_amplified_as_the_formula_says():
    found = tails.amplification(LATENCIES, [1, 10, 100])
    assert found.slow_share == pytest.approx(0.01)
    assert found.limit_s == quantile(LATENCIES, 0.99)
    assert found.independent == pytest.approx([0.01, 1 - 0.99**10, 1 - 0.99**100])
    assert found.resampled == pytest.approx(found.independent, abs=0.05)
    assert found.in_order == pytest.approx(found.independent, abs=0.12)
    assert found.pages == (4_000, 400, 40)


def test_slow_calls_that_come_together_hit_fewer_pages_than_the_formula_says():
    in_step = np.full(2_000, 0.1)
    in_step[1_000:1_020] = 1.0
    found = tails.amplification(in_step, [20])
    assert found.in_order[0] < 0.5 * found.independent[0]
    assert found.resampled[0] == pytest.approx(found.independent[0], abs=0.05)


def test_run_too_short_for_such_pages_says_nothing_of_calls_as_they_came():
    found = tails.amplification(np.append(LATENCIES[:100], math.nan), [5, 6])
    assert not math.isnan(found.in_order[0]) and math.isnan(found.in_order[1])


def test_pieces_are_cut_by_the_moment_a_request_was_wanted():
    wanted = np.concatenate([np.full(100, 2.5), np.full(99, 3.5), np.full(100, 4.0)])
    values = np.concatenate([np.full(100, 1.0), np.full(99, 2.0), np.full(100, 3.0)])
    found = tails.by_piece(wanted, values)
    assert found.start_s.tolist() == [2.0, 3.0, 4.0]
    assert found.value_s[[0, 2]].tolist() == [1.0, 3.0]
    assert math.isnan(found.value_s[1]), "99 values carry no p99"
    assert tails.mean_of_pieces(found) == 2.0


def test_mean_of_percentiles_is_far_from_the_percentile_of_all_when_one_second_is_bad():
    wanted = np.arange(0, 10, 0.005)
    values = np.where(wanted // 1 == 4, 2.0, 0.1)
    mean = tails.mean_of_pieces(tails.by_piece(wanted, values))
    assert mean == pytest.approx(0.1 * 0.9 + 2.0 * 0.1)
    assert quantile(values, 0.99) == 2.0


@pytest.mark.parametrize("values", [[], [math.nan, math.nan]])
def test_run_without_an_answer_has_no_pieces(values):
    found = tails.by_piece(np.zeros(len(values)), np.array(values))
    assert found.start_s.size == 0 and math.isnan(tails.mean_of_pieces(found))


def test_intervals_become_narrower_with_more_requests_and_begin_where_they_are_carried():
    counts = [100, 368, 1_000, 4_000, 16_000]
    found = tails.interval_width(LATENCIES, 0.99, counts)
    assert found.count == (368, 1_000, 4_000, 16_000)
    assert (np.diff(found.relative) < 0).all()


@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_least_count_is_the_first_that_carries_an_interval(level):
    count = tails.least_count(level)
    assert interval_ranks(count, level) is not None
    assert all(interval_ranks(fewer, level) is None for fewer in range(1, min(count, 400)))
    assert interval_ranks(count - 1, level) is None


def test_every_figure_names_its_axes_and_draws_its_data():
    line = lines_for_runs(["a", "b"], dark=False)
    wanted = np.arange(0, 4, 0.01)
    values = np.linspace(0.1, 0.2, wanted.size)
    cut = tails.by_piece(wanted, values)
    drawn = [
        figures.over_time([figures.Dots(n, line[n], wanted, values) for n in "ab"], "TTFT"),
        figures.amplification(tails.amplification(LATENCIES, [1, 10])),
        figures.pieces(cut, tails.mean_of_pieces(cut), 0.2, "p99 of TTFT"),
        figures.widths([tails.interval_width(LATENCIES, q, [500, 5_000]) for q in (0.5, 0.99)]),
    ]
    for figure in drawn:
        assert figure.layout.xaxis.title.text and figure.layout.yaxis.title.text
        assert all(len(trace.x) for trace in figure.data)
    assert [len(figure.data) for figure in drawn] == [2, 3, 3, 2]
    assert "their mean: 162 ms" in drawn[2].data[1].name
