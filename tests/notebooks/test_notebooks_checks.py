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
