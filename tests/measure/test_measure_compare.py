from dataclasses import replace

import numpy as np
import pytest

from measure.compare import compare, distributions, effects, ratio_interval
from measure.distribution import distribution
from measure.errors import MeasureError
from measure.store import RunWriter, open_run
from measure.verdict import ClientStats

STATS = ClientStats(cpu_s=1.0, wall_s=500.0, max_in_flight=3)


@pytest.fixture
def make_run(tmp_path, make_manifest, make_record):
    def make(name, ttft_s, count=400, close=True, stats=STATS, in_one_piece=False, **facts):
        engine = {"name": "vllm", "settings": facts.pop("settings", {}), "argv": [name]}
        load = facts.pop("load", {})
        manifest = make_manifest(run_id=name, name=facts.pop("label", name), engine=engine, **facts)
        manifest["load"].update(load)
        writer = RunWriter.create(tmp_path / name, manifest)
        rng = np.random.default_rng(len(name))
        for sent, wait in enumerate(rng.exponential(ttft_s, count) + 0.001):
            after = (wait,) if in_one_piece else (wait, wait + 0.02, wait + 0.04)
            tokens = None if in_one_piece else 3
            writer.append(make_record(float(sent), after, tokens=tokens))
        if close:
            writer.close(stats)
        else:
            writer.flush()
        return open_run(tmp_path / name)

    return make


def _row(comparison, metric, quantile):
    return next(row for row in comparison.rows if (row.metric, row.quantile) == (metric, quantile))


def test_runs_stand_side_by_side_with_their_own_numbers(make_run):
    runs = [make_run(name, ttft) for name, ttft in (("a", 0.1), ("b", 0.1), ("c", 0.3))]
    found = compare(runs)
    assert found.run_ids == found.labels == ("a", "b", "c")
    row = _row(found, "ttft_s", "p90")
    assert row.unit == "s" and row.change is None
    assert [cell.value for cell in row.cells] == [run.summary["ttft_s"]["p90"] for run in runs]
    assert row.cells[0].ci95 == tuple(runs[0].summary["ttft_s"]["ci95"]["p90"])
    assert [cell.value for cell in _row(found, "requests.total", None).cells] == [400, 400, 400]
    assert _row(found, "ttft_s", "p999").cells[0].value is None


def test_answers_in_one_piece_have_one_latency_and_no_tokens(make_run):
    open_loop = {"load": {"arrival": {"kind": "poisson", "rate_rps": 1.0}}}
    pieces = [make_run(name, 0.1, in_one_piece=True, **open_loop) for name in ("a", "b")]
    found = compare(pieces)
    metrics = {row.metric for row in found.rows}
    assert metrics.isdisjoint({"ttft_s", "output_tokens_per_s"})
    assert metrics >= {"ttft_from_schedule_s", "e2e_s"}
    assert found.titles["ttft_from_schedule_s"] == "E2E from schedule"
    streamed = compare([pieces[0], make_run("ccc", 0.1, **open_loop)])
    assert {"ttft_s", "output_tokens_per_s"} <= {row.metric for row in streamed.rows}
    assert streamed.titles["ttft_from_schedule_s"] == "TTFT from schedule"


def test_a_slower_run_is_told_apart_and_an_equal_one_is_not(make_run):
    slower = _row(compare([make_run("a", 0.1), make_run("bb", 0.3)]), "ttft_s", "p50").change
    low, high = slower.ratio_ci95
    assert slower.apart and low < 3.0 < high and slower.difference > 0
    same = _row(compare([make_run("ccc", 0.1), make_run("dddd", 0.1)]), "ttft_s", "p50").change
    assert same.apart is False and same.ratio_ci95[0] < 1 < same.ratio_ci95[1]


def test_any_run_can_be_what_the_others_are_held_against(make_run):
    runs = [make_run(name, ttft) for name, ttft in (("a", 0.1), ("bb", 0.3), ("ccc", 0.1))]
    known = [distributions(run) for run in runs]
    found = compare(runs, baseline=1, known=known)
    first, second, third = _row(found, "ttft_s", "p50").changes
    assert second is None and first.apart and first.ratio < 0.5
    assert third.ratio_ci95 == ratio_interval(known[1]["ttft_s"], known[2]["ttft_s"], 0.5)
    again = _row(compare([runs[1], runs[2]]), "ttft_s", "p50").change
    assert again == third
    rate = _row(found, "achieved_rps", None).changes
    assert rate[1] is None and rate[0].ratio_ci95 is None and rate[0].ratio > 0
    slower = effects("ttft_s", known, baseline=1)
    assert slower[1] is None and slower[0].probability < 0.4 and slower[0].apart


def test_a_sample_too_small_for_an_interval_gives_none(make_run):
    change = _row(
        compare([make_run("a", 0.1, count=5), make_run("b", 0.3, count=5)]), "ttft_s", "p50"
    ).change
    assert change.ratio is not None and change.ratio_ci95 is None and change.apart is None


def test_the_interval_of_a_ratio_covers_it_as_promised():
    rng = np.random.default_rng(1)
    pairs = [
        ratio_interval(
            distribution(rng.lognormal(0, 1, 150)),
            distribution(2.0 * rng.lognormal(0, 1, 120)),
            0.9,
        )
        for _ in range(400)
    ]
    carried = [pair for pair in pairs if pair is not None]
    assert len(carried) > 380
    assert sum(low <= 2.0 <= high for low, high in carried) / len(carried) >= 0.95


def test_only_what_differs_is_listed_as_a_setting(make_run):
    runs = [
        make_run("a", 0.1, settings={"max_num_seqs": 1, "dtype": "bf16"}, load={"seed": 1}),
        make_run(
            "b", 0.1, settings={"max_num_seqs": 16, "dtype": "bf16", "new": True}, load={"seed": 1}
        ),
    ]
    found = {setting.name: setting.values for setting in compare(runs).settings}
    assert found == {"engine.settings.max_num_seqs": (1, 16), "engine.settings.new": (None, True)}


def test_every_parameter_of_arrivals_and_prompts_is_listed_where_it_differs(make_run):
    loads = [
        {
            "arrival": {"kind": "steps", "rates_rps": rates, "each_s": 5.0},
            "prompt": {"kind": "synthetic", "tokens": tokens, "think_time": {"mean_s": think_s}},
        }
        for rates, tokens, think_s in (
            ([2.0, 4.0], 128, 1.0), ([2.0, 8.0], {"kind": "uniform", "min": 1, "max": 9}, 2.0),
        )
    ]  # fmt: skip
    runs = [make_run(f"r{n}", 0.1, load=load) for n, load in enumerate(loads)]
    found = {setting.name: setting.values for setting in compare(runs).settings}
    assert found == {
        "load.arrival.rates_rps": ([2.0, 4.0], [2.0, 8.0]),
        "load.prompt.tokens": (128, None),
        "load.prompt.tokens.kind": (None, "uniform"),
        "load.prompt.tokens.min": (None, 1),
        "load.prompt.tokens.max": (None, 9),
        "load.prompt.think_time.mean_s": (1.0, 2.0),
    }


def test_that_an_engine_died_while_it_was_loaded_is_said_and_is_no_setting(make_run):
    whole, broken = make_run("a", 0.1), make_run("b", 0.1)
    broken.manifest["engine"]["ended_in_run"] = True
    found = compare([whole, broken])
    assert [line for line in found.warnings if "engine's first process ended" in line] != []
    assert not any("ended_in_run" in setting.name for setting in found.settings)


def test_what_makes_a_comparison_unfair_is_said(make_run):
    run = make_run("a", 0.1)
    assert compare([run, make_run("b", 0.1)]).warnings == ()
    other = {**run.manifest["machine"], "cores": 999}
    for number, (facts, word) in enumerate(
        [
            ({"machine": other}, "different machines"),
            ({"load": {"scenario": "other"}}, "differ in scenario"),
            ({"load": {"prompt": {"kind": "synthetic", "turns": 3}}}, "differ in prompt"),
            ({"load": {"output_tokens": 7}}, "differ in output tokens"),
            ({"kind": "poisson"}, "closed loop"),
            ({"stats": replace(STATS, loop_lag_p99_s=0.02)}, "suspect: "),
            ({"close": False}, "still goes on"),
        ]
    ):
        warnings = compare([run, make_run(f"other{number}", 0.1, **facts)]).warnings
        assert any(word in warning for warning in warnings), (word, warnings)


def test_runs_of_one_name_are_labelled_by_their_ids(make_run):
    found = compare([make_run("a", 0.1, label="same"), make_run("b", 0.1, label="same")])
    assert found.labels == ("a", "b")


def test_one_run_or_the_same_run_twice_is_no_comparison(make_run):
    run = make_run("a", 0.1)
    with pytest.raises(MeasureError, match="two runs"):
        compare([run])
    with pytest.raises(MeasureError, match="with itself"):
        compare([run, replace(run)])
