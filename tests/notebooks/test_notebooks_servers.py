"""What notebook 06 reads from its runs, and its checks. Runs are made of known numbers."""

import pyarrow as pa
import pytest

from measure import server_metrics
from measure.store import open_run
from notebooks import checks_servers, five_servers
from servers.catalog import ENGINES

QUICK = [0.004 + i * 1e-5 for i in range(60)]
SLOW = [0.009 + i * 1e-5 for i in range(60)]


def with_series(run, **gained):
    """The run with what its server's counters gained, and the memory it held."""
    rows = [
        {"t_s": t_s, "metric": name, "labels": [], "value": value}
        for name, gain in gained.items()
        for t_s, value in ((run.window.start_s - 1, 5.0), (run.window.end_s, 5.0 + gain))
    ]
    labels = [("instance", "x"), ("kind", "pss")]
    rows += [
        {"t_s": 1.0, "metric": "lab_instance_memory_bytes", "labels": labels, "value": value}
        for value in (3e8, 4e8)
    ]
    server_metrics.write(run.path, pa.Table.from_pylist(rows, schema=server_metrics.SCHEMA))
    return open_run(run.path)


@pytest.fixture
def runs(make_run):
    return [
        make_run("bentoml", SLOW, engine="bentoml", rate_rps=1.0),
        make_run("fastapi-batcher", QUICK, engine="fastapi-batcher", rate_rps=1.0),
    ]


def test_the_five_are_engines_that_classify_and_what_is_set_are_their_knobs():
    assert len(five_servers.SERVERS) == 5
    for name, settings in five_servers.SERVERS.items():
        engine = ENGINES[name]
        assert {"classify", "kserve-infer"} & set(engine.protocols)
        assert all(engine.knob(knob) for knob in settings)


def test_a_row_has_the_servers_batch_and_memory_and_a_dash_where_they_are_not_known(runs):
    batches = {
        "bentoml_service_adaptive_batch_size_sum": 60.0,
        "bentoml_service_adaptive_batch_size_count": 15.0,
    }
    table = five_servers.table([with_series(runs[0], **batches), runs[1]])
    assert list(table.index) == ["bentoml", "fastapi-batcher"]
    assert list(table["average batch"]) == ["4", "–"]
    assert list(table["memory"]) == ["400 MB", "–"]
    assert list(table["answered"]) == [60, 60]


def test_the_figure_has_both_quantiles_of_every_server_with_whiskers(runs):
    p50, p90 = five_servers.quantiles(runs).data
    facts = [run.summary[five_servers.LATENCY] for run in runs]
    assert list(p50.x) == [one["p50"] for one in facts]
    assert list(p90.x) == [one["p90"] for one in facts]
    low, high = facts[0]["ci95"]["p50"]
    assert p50.x[0] - p50.error_x.arrayminus[0] == pytest.approx(low)
    assert p50.x[0] + p50.error_x.array[0] == pytest.approx(high)


def test_runs_that_were_asked_otherwise_are_not_called_fair(runs, make_run):
    fair = five_servers.fair(runs)[""]
    assert set(fair[list(five_servers._SAME.values())]) == {"the same"}
    assert fair["engines beside it"] == "none"
    faster = make_run("triton", QUICK, engine="triton", rate_rps=2.0)
    assert five_servers.fair([runs[0], faster])[""]["arrivals, rate"] == "differs"


def test_the_right_answer_is_right_in_any_order(runs):
    for given in (runs, runs[::-1]):
        assert checks_servers.quickest(given, name="fastapi-batcher", told_apart=True).ok


@pytest.mark.parametrize(
    ("name", "told_apart", "hint"),
    [
        ("bentoml", True, "E2E p50"),
        ("vllm", True, "one of the rows"),
        (None, True, "one of the rows"),
        ("fastapi-batcher", "yes", "True or False"),
        ("fastapi-batcher", False, "whiskers"),
    ],
)
def test_a_wrong_answer_gets_a_hint(runs, name, told_apart, hint):
    found = checks_servers.quickest(runs, name=name, told_apart=told_apart)
    assert not found.ok
    assert hint in found.text


@pytest.mark.parametrize(("answer_ms", "ok"), [(5.0, True), (5, True), (4.0, False), (-5.0, False)])
def test_the_price_of_the_delay_is_the_difference_of_the_medians(runs, answer_ms, ok):
    assert checks_servers.price_of_the_delay(*runs, answer_ms=answer_ms).ok is ok


@pytest.mark.parametrize("answer", [None, "5", True, [5.0]])
def test_what_is_no_number_is_asked_for_one(runs, answer):
    assert "number" in checks_servers.price_of_the_delay(*runs, answer_ms=answer).text
