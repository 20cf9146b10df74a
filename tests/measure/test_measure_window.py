import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure.errors import MeasureError
from measure.manifest import problem
from measure.records import Status
from measure.steady import MIN_REQUESTS, mser, steady_state
from measure.store import RunWriter, open_run
from measure.summary import summarise
from measure.verdict import ClientStats
from measure.warmup import Warmup


def _stats(end_s):
    return ClientStats(cpu_s=0.5, wall_s=end_s + 2, max_in_flight=4, end_s=end_s)


def _steady_after(count, warm, rng, factor=5.0):
    """Latencies of which the first `warm` take `factor` times as long."""
    return 0.1 * rng.lognormal(0, 0.3, count) * np.where(np.arange(count) < warm, factor, 1.0)


@pytest.mark.parametrize(
    ("text", "facts"),
    [
        ("5s", {"rule": "fixed", "duration_s": 5.0}),
        ("500ms", {"rule": "fixed", "duration_s": 0.5}),
        ("0", {"rule": "fixed", "duration_s": 0.0}),
        ("200req", {"rule": "count", "requests": 200}),
        ("auto", {"rule": "steady"}),
    ],
)
def test_a_warm_up_is_read_as_written_and_back_from_the_manifest(text, facts):
    warmup = Warmup.parse(text)
    assert warmup.as_dict() == facts
    assert Warmup.of({"warmup": facts}) == warmup == Warmup.parse(str(warmup))


@pytest.mark.parametrize("text", ["", "0req", "five", "-1s", "req", "2 weeks", "auto5", "1e3req"])
def test_a_warm_up_that_is_none_of_them_is_refused_with_all_three(text):
    with pytest.raises(MeasureError, match=r"5s.*200req.*auto"):
        Warmup.parse(text)


def test_runs_of_before_the_rules_have_a_fixed_warm_up():
    assert Warmup.of({"warmup_s": 3}).as_dict() == {"rule": "fixed", "duration_s": 3.0}
    assert Warmup.of({}).as_dict() == {"rule": "fixed", "duration_s": 0.0}


@pytest.mark.parametrize(
    "facts",
    [{"rule": "hope"}, {}, "5s", {"rule": "count"}, {"rule": "count", "requests": 2.5},
     {"rule": "fixed", "duration_s": -1}, {"rule": "fixed", "duration_s": True}],
)  # fmt: skip
def test_a_manifest_with_another_warm_up_is_named_as_wrong(facts, make_manifest):
    manifest = make_manifest()
    manifest["load"]["warmup"] = facts
    assert "load.warmup" in problem(manifest)


def test_a_count_begins_the_window_when_that_many_answers_were_complete(
    table, make_record, make_manifest
):
    failed = [make_record(0.1, (), status=Status.HTTP_ERROR, http_status=503)]
    answers = [make_record(float(second), (0.1, 0.5)) for second in range(10)]
    manifest = make_manifest()
    manifest["load"]["warmup"] = {"rule": "count", "requests": 4}
    found = summarise(table(*failed, *answers), manifest, _stats(10.0))
    assert found["window"] == {
        "start_s": 3.5,
        "end_s": 10.0,
        "warmup": {"rule": "count", "requests": 4},
        "requests_before": 5,
        "problem": None,
    }
    assert found["window_s"] == 6.5 and found["requests"]["total"] == 6
    # The chunk that completes the fourth answer arrives at the window's first moment.
    assert found["output_tokens_per_s"] == pytest.approx(13 / 6.5)


def test_a_run_that_ends_within_its_counted_warm_up_says_so(table, make_record, make_manifest):
    manifest = make_manifest()
    manifest["load"]["warmup"] = {"rule": "count", "requests": 50}
    found = summarise(table(make_record(0.0), make_record(1.0)), manifest, _stats(10.0))
    assert found["requests"]["total"] == 0 and found["client"]["verdict"] == "invalid"
    assert any("takes 50 answers, and the run had 2" in why for why in found["client"]["reasons"])


def test_the_steady_state_begins_where_the_warm_up_ended(table, make_record, make_manifest):
    latency_s = _steady_after(600, 60, np.random.default_rng(1))
    records = table(*[make_record(n * 0.1, (s / 2, s)) for n, s in enumerate(latency_s.tolist())])
    for kind in ("closed", "poisson"):
        manifest = make_manifest(kind, finished=True)
        manifest["load"]["warmup"] = {"rule": "steady"}
        found = summarise(records, manifest, _stats(60.0))
        assert found["window"]["start_s"] == pytest.approx(6.0, abs=1.0)
        assert found["window"]["requests_before"] + found["requests"]["total"] == 600
        assert found["window_s"] == pytest.approx(60.0 - found["window"]["start_s"])
        assert found["achieved_rps"] == pytest.approx(10.0, rel=0.01)
        assert found["output_tokens_per_s"] == pytest.approx(20.0, rel=0.02)
        assert found["window"]["problem"] is None and found["client"]["verdict"] == "valid"


def test_a_queue_that_grows_has_no_steady_state_and_loses_nothing(
    table, make_record, make_manifest
):
    wait_s = np.linspace(0.1, 20.0, 600) * np.random.default_rng(1).lognormal(0, 0.1, 600)
    records = table(*[make_record(n * 0.1, (s, s + 0.1)) for n, s in enumerate(wait_s.tolist())])
    manifest = make_manifest("poisson", finished=True)
    manifest["load"]["warmup"] = {"rule": "steady"}
    found = summarise(records, manifest, _stats(60.0))
    assert found["window"]["start_s"] == 0.0 and found["requests"]["total"] == 600
    assert "no steady state was found" in found["window"]["problem"]
    assert found["client"]["verdict"] == "suspect"
    assert found["client"]["reasons"] == [found["window"]["problem"]]


def test_what_kept_its_window_is_read_back_with_it(tmp_path, make_manifest, make_record):
    manifest = make_manifest()
    manifest["load"]["warmup"] = {"rule": "count", "requests": 2}
    writer = RunWriter.create(tmp_path / "r", manifest)
    for second in range(5):
        writer.append(make_record(float(second)))
    writer.close(_stats(5.0))
    run = open_run(tmp_path / "r")
    assert run.window.start_s == pytest.approx(1.3) and run.window.end_s == 5.0
    assert run.counted.num_rows == run.summary["requests"]["total"] == 3


def test_the_least_marginal_standard_error_is_found_by_hand():
    """White's statistic over [9, 1, 2, 1, 2, …]: leaving out the first alone is least."""
    means = np.array([9.0, *([1.0, 2.0] * 8)])
    errors = [float(np.sum((means[d:] - means[d:].mean()) ** 2)) / (17 - d) ** 2 for d in range(12)]
    assert mser(means) == int(np.argmin(errors)) == 1


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=60))
def test_the_cut_is_that_of_the_definition(values):
    means = np.round(np.array(values), 2)
    count = means.size
    errors = [
        float(np.sum((means[d:] - means[d:].mean()) ** 2)) / (count - d) ** 2
        for d in range(max(1, count - 5))
    ]
    assert errors[mser(means)] == pytest.approx(min(errors), abs=1e-9)


def test_few_runs_without_a_warm_up_are_said_to_have_one():
    """Chance alone: independent latencies, steady from the first on."""
    rng = np.random.default_rng(2)
    found = [steady_state(rng.lognormal(0, 0.7, 400)) for _ in range(200)]
    assert sum(one.cut is None for one in found) <= 8
    assert np.mean([one.cut for one in found if one.cut is not None]) < 30


@pytest.mark.parametrize("count", [300, 2000])
def test_a_warm_up_is_found_whole_and_little_more(count):
    rng = np.random.default_rng(3)
    cuts = [steady_state(_steady_after(count, count // 8, rng)).cut for _ in range(50)]
    found = np.array([cut for cut in cuts if cut is not None])
    assert found.size >= 48
    assert (found >= count // 8 - 5).all() and np.median(found) < count // 8 + count // 20


@pytest.mark.parametrize(
    "latency_s",
    [
        np.full(MIN_REQUESTS - 1, 0.1),
        np.linspace(1, 10, 400),
        np.where(np.arange(400) < 280, 0.1, 0.3) * np.random.default_rng(4).lognormal(0, 0.3, 400),
        np.linspace(1, 1.6, 2000) * np.random.default_rng(5).lognormal(0, 0.5, 2000),
    ],
    ids=["too few", "grows", "steps late", "grows slowly under noise"],
)
def test_no_steady_state_is_claimed_where_there_is_none(latency_s):
    found = steady_state(latency_s)
    assert found.cut is None and found.problem


def test_equal_latencies_are_steady():
    assert steady_state(np.full(500, 0.1)).cut == 0
