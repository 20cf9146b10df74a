import numpy as np
import pytest

from measure.quantiles import describe
from notebooks import checks

FAST = [0.010 + i * 1e-5 for i in range(40)]
SLOW = [0.100 + i * 1e-5 for i in range(40)]


@pytest.fixture
def apart(make_run):
    return make_run("vllm", FAST), make_run("triton", SLOW)


def test_right_answer_is_right_whichever_way_round_the_runs_are(apart):
    quick, slow = apart
    assert checks.first_token(quick, slow, faster="vllm", told_apart=True).ok
    assert checks.first_token(slow, quick, faster="vllm", told_apart=True).ok


def test_wrong_engine_gets_a_hint_that_is_the_same_whatever_is_right(make_run, apart):
    quick, slow = apart
    wrong = checks.first_token(quick, slow, faster="triton", told_apart=True)
    mirrored = checks.first_token(
        make_run("vllm", SLOW), make_run("triton", FAST), faster="vllm", told_apart=True
    )
    assert not wrong.ok and not mirrored.ok
    assert wrong.text == mirrored.text
    assert "vllm" not in wrong.text and "triton" not in wrong.text


def test_wrong_verdict_on_the_intervals_gets_one_hint_for_both_mistakes(make_run, apart):
    overlapping = make_run("vllm", FAST), make_run("triton", [x + 2e-5 for x in FAST])
    says_overlap = checks.first_token(*apart, faster="vllm", told_apart=False)
    says_apart = checks.first_token(*overlapping, faster="vllm", told_apart=True)
    assert not says_overlap.ok and not says_apart.ok
    assert says_overlap.text == says_apart.text


def test_equal_medians_accept_either_engine(make_run):
    runs = make_run("vllm", FAST), make_run("triton", FAST)
    for name in ("vllm", "triton"):
        assert checks.first_token(*runs, faster=name, told_apart=False).ok


@pytest.mark.parametrize("faster", [None, 3, "tgi", ["vllm"], {"vllm"}, "VLLM"])
def test_answer_that_names_no_instance_is_told_the_names(apart, faster):
    feedback = checks.first_token(*apart, faster=faster, told_apart=True)
    assert not feedback.ok
    assert "vllm or triton" in feedback.text


@pytest.mark.parametrize("told_apart", ["yes", 1, 0, None, 0.5])
def test_verdict_that_is_no_truth_value_is_asked_for_one(apart, told_apart):
    feedback = checks.first_token(*apart, faster="vllm", told_apart=told_apart)
    assert not feedback.ok
    assert "True or False" in feedback.text


def test_run_without_an_answer_is_named_as_the_trouble(make_run, apart):
    feedback = checks.first_token(apart[0], make_run("triton", []), faster="vllm", told_apart=True)
    assert not feedback.ok
    assert "load it again" in feedback.text


@pytest.mark.parametrize(("count", "deepest"), [(6, "p50"), (40, "p90"), (100, "p95")])
def test_deepest_quantile_is_the_last_one_with_an_interval(make_run, count, deepest):
    run = make_run("vllm", [0.01 + i * 1e-4 for i in range(count)])
    for level in ("p50", "p90", "p95", "p99", "p999"):
        feedback = checks.deepest_quantile(run, quantity="ttft_s", answer=level)
        assert feedback.ok == (level == deepest)
        if not feedback.ok:
            assert deepest not in feedback.text


@pytest.mark.parametrize("answer", [None, 90, "p42", ["p50"], ""])
def test_deepest_quantile_wants_a_name(make_run, answer):
    run = make_run("vllm", FAST)
    feedback = checks.deepest_quantile(run, quantity="ttft_s", answer=answer)
    assert not feedback.ok
    assert "p50, p90, p95, p99, p999" in feedback.text


def test_sample_without_any_interval_is_named_as_the_trouble(make_run):
    run = make_run("vllm", [0.01, 0.02])
    feedback = checks.deepest_quantile(run, quantity="ttft_s", answer="p50")
    assert not feedback.ok
    assert "longer" in feedback.text
    assert checks.deepest_quantile(run, quantity="ttft_s", answer="none").ok


def test_none_is_wrong_where_a_row_has_an_interval(make_run):
    run = make_run("vllm", [0.01 + i * 1e-4 for i in range(40)])
    assert not checks.deepest_quantile(run, quantity="ttft_s", answer="none").ok


def test_intervals_that_touch_are_not_apart():
    def interval(low, high):
        return {"ci95": {"p50": [low, high]}}

    assert not checks.intervals_apart(interval(1, 2), interval(2, 3), "p50")
    assert checks.intervals_apart(interval(1, 2), interval(2.1, 3), "p50")
    assert checks.intervals_apart(interval(2.1, 3), interval(1, 2), "p50")
    assert not checks.intervals_apart(interval(1, 2), describe([]), "p50")


def test_require_raises_the_hint_and_hands_back_what_is_right():
    right = checks.Feedback(True, "yes")
    assert right.require() is right
    with pytest.raises(checks.NotYet, match="look there"):
        checks.Feedback(False, "look there").require()


def test_notebook_shows_the_hint_without_a_stack():
    assert checks.NotYet("look there")._render_traceback_() == ["Not yet: look there"]
    assert repr(checks.Feedback(False, "look there")) == "Not yet: look there"
    assert repr(checks.Feedback(True, "well")) == "Right: well"


MANY = [0.010 + i * 1e-5 for i in range(200)]
STALLED = [0.05] * 60 + [2.0] * 40


def test_serial_calls_counts_from_the_share_of_slow_ones_in_the_run(make_run):
    run = make_run("vllm", MANY)
    # 20 of 200 lie beyond the p90: 0.9^6 is above one half, 0.9^7 below.
    assert checks.serial_calls(run, level="p90", answer=7).ok
    assert checks.serial_calls(run, level="p90", answer=np.int64(7)).ok
    assert checks.serial_calls(run, level="p50", answer=2).ok


@pytest.mark.parametrize("answer", [1, 6, 8, 5_000])
def test_wrong_number_of_calls_gets_a_hint_that_is_the_same_whatever_is_right(make_run, answer):
    run = make_run("vllm", MANY)
    feedback = checks.serial_calls(run, level="p90", answer=answer)
    other = checks.serial_calls(make_run("vllm", MANY[:37]), level="p50", answer=answer)
    assert not feedback.ok and feedback.text == other.text
    assert "7" not in feedback.text


@pytest.mark.parametrize("answer", [None, 7.0, "7", True, 0, -3, [7], float("nan")])
def test_number_of_calls_must_be_a_whole_number(make_run, answer):
    feedback = checks.serial_calls(make_run("vllm", MANY), level="p90", answer=answer)
    assert not feedback.ok and "whole number" in feedback.text


def test_run_too_short_for_the_level_is_named_as_the_trouble(make_run):
    feedback = checks.serial_calls(make_run("vllm", [0.1] * 5), level="p90", answer=7)
    assert not feedback.ok and "load it again" in feedback.text


def test_shares_are_checked_run_by_run(make_run):
    runs = make_run("reference", [0.05] * 100), make_run("reference", STALLED, rate_rps=1.0)
    assert checks.slower_shares(runs, limit_s=1.0, answer=(0.0, 0.4)).ok
    assert checks.slower_shares(runs, limit_s=1.0, answer=[np.float64(0), 0.403]).ok
    wrong = checks.slower_shares(runs, limit_s=1.0, answer=(0.0, 0.41))
    assert not wrong.ok and "poisson" in wrong.text and "0.4" not in wrong.text
    assert "closed" in checks.slower_shares(runs, limit_s=1.0, answer=(0.4, 0.0)).text


@pytest.mark.parametrize(
    "answer", [None, 0.4, (0.1,), (0.1, 0.2, 0.3), ("a", 0.1), (40, 2), (-0.1, 0), (np.nan, 0.4)]
)
def test_shares_must_be_shares(make_run, answer):
    runs = make_run("reference", [0.05] * 10), make_run("reference", STALLED)
    feedback = checks.slower_shares(runs, limit_s=1.0, answer=answer)
    assert not feedback.ok and "2 shares from 0 to 1" in feedback.text


@pytest.mark.parametrize(("level", "right"), [(0.9, 36), (0.99, 368), (0.999, 3_688)])
def test_least_requests_is_where_the_first_interval_is(level, right):
    assert checks.least_requests(level=level, answer=right).ok
    for wrong in (right - 1, right + 1, 1):
        feedback = checks.least_requests(level=level, answer=wrong)
        assert not feedback.ok and f" {right} " not in feedback.text


@pytest.mark.parametrize("answer", [None, "368", 368.0, True, 0, -5])
def test_least_requests_wants_a_whole_number(answer):
    feedback = checks.least_requests(level=0.99, answer=answer)
    assert not feedback.ok and "whole number" in feedback.text
