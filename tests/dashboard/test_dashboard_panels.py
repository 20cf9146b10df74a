import math

import pytest

from dashboard import panels, promql, sources
from dashboard.live import asking
from dashboard.live import readings as live_readings
from dashboard.panels import PANELS, PROCESS, Part, Query
from dashboard.prometheus import Series
from dashboard.sources import Source
from measure.client_metrics import CLIENT_METRICS
from servers.catalog import ENGINES
from servers.contract import Metric
from servers.tgi.launch import COMPATIBLE

SPAN = promql.Span.ending(1_790_000_000, 300)


def test_keys_are_unique_and_every_panel_explains_itself() -> None:
    assert len({panel.key for panel in PANELS}) == len(PANELS)
    assert all(panel.title and panel.help.endswith(".") and panel.parts for panel in PANELS)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
def test_every_concept_of_a_panel_is_exported_by_something(panel: panels.Panel) -> None:
    if panel.group == "engine":
        known = {metric.concept for metric in panels.ENGINE_METRICS}
    else:
        known = {metric.concept for metric in panels.metrics_of(panel, "")}
    for part in panel.parts:
        assert part.concept in known
        assert part.over is None or part.over in known


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel.key)
@pytest.mark.parametrize("kind", [*sources.MODEL_SERVERS, sources.LOAD_TEST, sources.GPU])
def test_a_metric_that_is_exported_gives_a_query(panel: panels.Panel, kind: str) -> None:
    if (panel.group == "client") != (kind == sources.LOAD_TEST):
        return
    metrics = panels.metrics_of(panel, kind)
    found = panels.queries(panel, metrics, {panel.identity: ["a"]}, 5)
    known = {metric.concept for metric in metrics}
    if panel.reading == "heatmap":
        known = {metric.concept for metric in metrics if metric.kind == "histogram"}
    late = {metric.concept for metric in metrics if metric.at_end}
    exported = [
        one
        for one in panel.parts
        if one.concept in known
        and one.over in {None, *known}
        # What is counted when an answer ends is no mean of the steps of a few seconds.
        and not (one.over and one.concept in late)
    ]
    assert {query.label for query in found} == {part.label for part in exported}


def test_the_client_s_panels_know_every_metric_the_load_test_exports() -> None:
    shown = {part.concept for panel in panels.group("client") for part in panel.parts}
    assert {metric.name for metric in CLIENT_METRICS} <= shown


def test_the_process_metrics_are_those_of_the_exporter() -> None:
    exported = {m.name for one in ENGINES.values() if one.job == "exporter" for m in one.metrics}
    assert {metric.name for metric in PROCESS} <= exported


def test_gpus_are_read_by_dcgm_s_names_and_told_apart_by_their_uuid() -> None:
    of_default_counters_csv = {
        *(
            "DCGM_FI_DEV_SM_CLOCK",
            "DCGM_FI_DEV_MEM_CLOCK",
            "DCGM_FI_DEV_GPU_TEMP",
            "DCGM_FI_DEV_POWER_USAGE",
        ),
        *("DCGM_FI_DEV_GPU_UTIL", "DCGM_FI_DEV_MEM_COPY_UTIL", "DCGM_FI_DEV_FB_USED"),
        "DCGM_FI_DEV_XID_ERRORS",
    }
    asked = set()
    for panel in panels.group("gpu"):
        for query in panels.queries(panel, panels.EXPORTED, {"UUID": ["GPU-1"]}, 5):
            assert query.expression.startswith("max by (UUID)")
            asked.add(query.metric)
    assert asked == of_default_counters_csv
    assert panels.PRESENT in asked


def test_gpus_of_one_machine_go_by_number_and_of_several_by_machine_too() -> None:
    def seen(uuid: str, number: str, host: str) -> Series:
        labels = {"UUID": uuid, "gpu": number, "Hostname": host, "modelName": "NVIDIA H100"}
        return Series(labels, (1.0,), (1.0,))

    one = sources.gpus([seen("GPU-b", "1", "a"), seen("GPU-a", "0", "a")])
    assert [(each.name, each.series, each.about) for each in one] == [
        ("GPU 0", "GPU-a", "NVIDIA H100"),
        ("GPU 1", "GPU-b", "NVIDIA H100"),
    ]
    two = sources.gpus([seen("GPU-b", "0", "b"), seen("GPU-a", "0", "a")])
    assert [each.name for each in two] == ["a GPU 0", "b GPU 0"]
    assert not any(each.is_engine or each.is_load for each in one)


def test_no_query_averages() -> None:
    for panel in PANELS:
        for kind in [*sources.MODEL_SERVERS, sources.LOAD_TEST, sources.GPU]:
            for query in panels.queries(panel, panels.metrics_of(panel, kind), {}, 5):
                assert "avg" not in query.expression
                assert "histogram_quantile" not in query.expression


def test_a_panel_whose_metric_is_missing_says_whose_and_which() -> None:
    panel = panels.panel("kv_cache_usage")
    assert panels.queries(panel, (), {}, 5) == ()
    assert panels.absent(panel, "X") == "KV cache in use: X exports no metric of kv cache usage."
    assert panels.absent(panel, "X", panels.ENGINE_METRICS) == (
        "KV cache in use: X exports nothing like vllm:kv_cache_usage_perc, "
        "vllm:gpu_cache_usage_perc, which others have for it."
    )


def test_an_unknown_panel_is_an_error() -> None:
    with pytest.raises(KeyError, match="no panel is called 'nothing'"):
        panels.panel("nothing")


def test_a_counter_becomes_a_mean_only_with_something_to_divide_by() -> None:
    panel = panels.Panel("x", "X", "engine", "s", "quantile", "H.", (Part("q", over="n"),))
    time = Metric("q", "q_us", "counter", "s", "", 1e-6)
    assert panels.queries(panel, (time,), {}, 5) == ()
    (query,) = panels.queries(panel, (time, Metric("n", "n_total", "counter", "", "")), {}, 5)
    assert "rate(q_us[5s])" in query.expression
    assert "rate(n_total[5s])" in query.expression
    assert query.scale == 1e-6


def test_what_is_counted_when_an_answer_ends_is_no_mean_of_seconds_and_says_so() -> None:
    panel = panels.Panel("x", "X", "engine", "count", "mean", "H.", (Part("n", over="steps"),))
    late = Metric("n", "n_total", "counter", "tokens", "", at_end=True)
    steps = Metric("steps", "steps_total", "counter", "steps", "")
    assert panels.queries(panel, (late, steps), {}, 5) == ()
    assert panels.absent(panel, "E", (), (late, steps)) == (
        "X: E counts all of an answer in n_total when it has ended, which over a few seconds is "
        "no mean of anything."
    )
    rate = panels.Panel("y", "Y", "engine", "tok/s", "rate", "H.", (Part("n"),))
    (query,) = panels.queries(rate, (late,), {}, 5)
    assert query.note == "counts all of an answer when it has ended"


def _series(instance: str, values: list[float], **labels: str) -> Series:
    times = tuple(SPAN.end_s - SPAN.step_s * i for i in reversed(range(len(values))))
    return Series({"instance": instance, **labels}, times, tuple(values))


def test_bucket_rates_are_read_as_bounds_in_the_panel_s_unit() -> None:
    query = Query("", "buckets", 1e-3, "", "x_ms")
    answer = [
        _series("a", [0, 1], le="10"),
        _series("a", [0, 4], le="20"),
        _series("a", [0, 4], le="+Inf"),
    ]
    reading = asking.interpret(query, answer)["a"][0]
    assert reading.bounds(0.5, 0) is None
    bounds = reading.last_bounds(0.5, SPAN.end_s, SPAN.step_s)
    assert bounds is not None
    assert (bounds.lower, bounds.upper) == (pytest.approx(0.01), pytest.approx(0.02))


def test_torn_buckets_give_no_bounds() -> None:
    torn = asking.interpret(Query("", "buckets", 1, "", "x"), [_series("a", [3.0], le="10")])
    assert torn["a"][0].bounds(0.99, 0) is None


def test_a_value_that_ended_is_not_shown_as_now() -> None:
    reading = asking.interpret(Query("", "line", 1, "", "x"), [_series("a", [7.0])])["a"][0]
    assert reading.last(SPAN.end_s, 4) == 7.0
    assert math.isnan(reading.last(SPAN.end_s + 60, 4))


def test_idle_is_told_from_zero() -> None:
    panel = panels.panel("ttft")
    query = Query("", "buckets", 1, "", "x")
    quiet = asking.interpret(query, [_series("a", [0.0], le="1"), _series("a", [0.0], le="+Inf")])
    readings = live_readings.PanelReadings(panel, {"a": quiet["a"]}, ())
    assert live_readings.idle(readings)
    zero = asking.interpret(Query("", "line", 1, "", "x"), [_series("a", [0.0])])
    assert not live_readings.idle(live_readings.PanelReadings(panel, {"a": zero["a"]}, ()))
    nan = asking.interpret(Query("", "line", 1, "", "x"), [_series("a", [math.nan])])
    assert live_readings.idle(live_readings.PanelReadings(panel, {"a": nan["a"]}, ()))
    assert not live_readings.idle(live_readings.PanelReadings(panel, {}, ()))


def test_local_instances_and_targets_become_one_list() -> None:
    engine = sources.MODEL_SERVERS[0]
    local = [Source("mine", engine, "runs", False, "tiny")]
    seen = [
        Series({"job": "engine", "engine": engine, "instance": "mine"}, (1.0,), (1.0,)),
        Series({"job": "engine", "engine": "other", "instance": "far"}, (1.0,), (1.0,)),
        Series({"job": "client", "instance": "20261122-1"}, (1.0,), (1.0,)),
        Series({"job": "client", "instance": "20261122-2"}, (1.0,), (1.0,)),
        Series({"job": "exporter", "instance": "exporter"}, (1.0,), (1.0,)),
    ]
    up_now = [
        Series({"job": "engine", "instance": "mine"}, (1.0,), (1.0,)),
        Series({"job": "engine", "instance": "far"}, (1.0,), (0.0,)),
        Series({"job": "client", "instance": "20261122-1"}, (1.0,), (0.0,)),
    ]
    merged = sources.merge(local, seen, up_now)
    assert [one.name for one in merged] == ["far", "mine", "20261122-2", "20261122-1"]
    assert [one.state for one in merged] == ["does not answer", "runs", "ended", "ended"]
    assert merged[1].about == "tiny"
    assert merged[1].scraped
    assert merged[2].is_load


def test_a_stand_in_is_called_what_it_is_and_of_an_unknown_instance_only_its_kind_is_said() -> None:
    local = [Source("mine", "tgi", "runs", False, title=COMPATIBLE)]
    seen = [
        Series({"job": "engine", "engine": "tgi", "instance": name}, (1.0,), (1.0,))
        for name in ("mine", "far")
    ]
    labels = {"job": "engine", "engine": "tgi", "title": COMPATIBLE, "instance": "stopped"}
    far, mine, stopped = sources.merge(local, [*seen, Series(labels, (1.0,), (1.0,))], seen)
    assert asking.title_of(mine) == COMPATIBLE
    assert asking.title_of(far) == "tgi"
    assert (asking.title_of(stopped), stopped.state) == (COMPATIBLE, "ended")


def test_a_summary_s_quantiles_are_shown_as_they_are() -> None:
    query = Query("", "summary", 1e-6, "", "x_us")
    answer = [
        _series("a", [math.nan, 9e4], quantile="0.99"),
        _series("a", [1, 5e4], quantile="0.5"),
    ]
    reading = asking.interpret(query, answer)["a"][0]
    assert reading.bounds(0.99, 0) is None
    bounds = reading.bounds(0.99, 1)
    assert bounds is not None
    assert (bounds.lower, bounds.upper) == (pytest.approx(0.09), pytest.approx(0.09))
    assert reading.bounds(0.9, 1) is None
