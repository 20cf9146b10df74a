import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import promql
from dashboard.promql import Span


def test_a_span_s_ends_are_multiples_of_its_step() -> None:
    for length in (60, 300, 900, 3600, 21600):
        span = Span.ending(1_790_000_123.4, length)
        assert span.end_s % span.step_s == 0
        assert span.start_s % span.step_s == 0
        assert 0 <= 1_790_000_123.4 - span.end_s < span.step_s
        assert (span.end_s - span.start_s) / span.step_s <= 180


def test_two_looks_within_a_step_ask_the_same() -> None:
    assert Span.ending(1_000_000.2, 900) == Span.ending(1_000_003.9, 900)


@pytest.mark.parametrize("length", [60, 300, 900, 3600, 21600])
def test_a_rate_window_holds_four_scrapes_and_every_sample(length: int) -> None:
    span = Span.ending(1_790_000_000, length)
    assert span.rate_window_s >= 4 * promql.SCRAPE_S
    assert span.rate_window_s >= span.step_s


def test_labels_are_matched_exactly_or_as_alternatives() -> None:
    assert promql.selector("up") == "up"
    assert promql.selector("up", {"job": "engine"}) == 'up{job="engine"}'
    assert promql.selector("up", {"instance": ["a", "b.c"]}) == 'up{instance=~"a|b\\\\.c"}'


@given(st.text())
def test_no_value_breaks_out_of_its_quotes(value: str) -> None:
    inner = promql.quote(value)[1:-1]
    assert re.fullmatch(r'(?:[^"\\\n]|\\["\\n])*', inner)


@pytest.mark.parametrize("name", ["", "a b", "up}", "1up", 'x"y'])
def test_what_cannot_be_a_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be a metric's name"):
        promql.selector(name)
    with pytest.raises(ValueError, match="cannot be a label's name"):
        promql.selector("up", {name: "x"})


def test_bucket_rates_keep_le_and_are_summed_before_any_quantile() -> None:
    found = promql.buckets("ttft", {"instance": "a"}, 5, ["instance"])
    assert found == 'sum by (instance, le) (rate(ttft_bucket{instance="a"}[5s]))'


def test_a_quantile_is_read_from_the_sum_of_the_buckets_in_the_unit_asked_for() -> None:
    rates = promql.buckets("ttft", {"instance": "a"}, 5, ["instance"])
    assert promql.quantile(0.99, rates) == f"histogram_quantile(0.99, {rates})"
    assert promql.quantile(0.5, rates, 0.001) == f"histogram_quantile(0.5, {rates}) * 0.001"


def test_a_mean_divides_two_rates() -> None:
    found = promql.ratio("x_sum", "x_count", {}, 5, ["instance"])
    assert found == ("sum by (instance) (rate(x_sum[5s])) / sum by (instance) (rate(x_count[5s]))")
