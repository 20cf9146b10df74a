"""The Live page: what is chosen, how load tests look, what a figure shows, and the page's logic."""

import math
from pathlib import Path

import pytest
from dashboard_prometheus import Answering
from streamlit.testing.v1 import AppTest

from dashboard import figures, panels, promql, sources, theme
from dashboard.figures import Curve, Stretch
from dashboard.live import asking, chosen, drawing, loads, page, tiles
from dashboard.live.readings import PanelReadings, Reading, in_one_piece
from dashboard.live.sections import PAIRS, SECTIONS
from dashboard.panels import Query
from dashboard.prometheus import Series
from dashboard.sources import GPU, LOAD_TEST, Source
from dashboard.theme import Line

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")
SPAN = promql.Span.ending(1_790_000_000, 300)
TIMES = tuple(SPAN.start_s + SPAN.step_s * i for i in range(5))
LINE = Line("#0072b2", "solid")


def _source(name: str, kind: str = LOAD_TEST, state: str = "runs") -> Source:
    return Source(name, kind, state, state == "runs")


FOUND = [
    _source("one", "vllm"),
    _source("two", "triton", "ended"),
    _source("20260103-100000-vllm-chat"),
    _source("20260102-100000-vllm-chat", state="ended"),
    _source("20260101-100000-vllm-chat", state="ended"),
    Source("GPU 0", GPU, "", True, uuid="GPU-a"),
]


def test_every_panel_stands_in_a_pair_or_in_a_section_and_in_one_only() -> None:
    shown = [panel.key for pair in PAIRS for panel in pair.both]
    shown += [panel.key for section in SECTIONS for panel in section.panels]
    assert sorted(shown) == sorted(panel.key for panel in panels.PANELS)


def test_unasked_all_engines_and_the_newest_loads_are_shown() -> None:
    names = [one.name for one in chosen.picked(FOUND, [])]
    assert names == ["one", "two", *(one.name for one in FOUND[2:4]), "GPU 0"]


def test_of_very_many_instances_few_are_shown_unasked_those_that_answer_first() -> None:
    many = [_source(f"e{i:04}", "vllm", "runs" if i >= 990 else "ended") for i in range(1000)]
    shown = [one.name for one in chosen.picked([*many, *FOUND[2:]], []) if one.is_engine]
    assert shown == [*(f"e{i:04}" for i in range(6)), *(f"e{i:04}" for i in range(990, 1000))]
    asked = [one.name for one in chosen.picked(many, ["e0500"])]
    assert asked == ["e0500"]


def test_what_nobody_asked_for_is_no_reading() -> None:
    panel = next(one for one in panels.PANELS if one.key == "cpu")
    source = _source("one", "vllm")
    query = Query("q", "line", 1, "", "x")
    answer = tuple(Series({"instance": name}, TIMES, (1.0,) * 5) for name in ("one", "other"))
    found = asking._readings(panel, [((source,), (query,))], {"q": answer})
    assert list(found.by_source) == ["one"]


def test_a_choice_is_shown_with_the_gpus_and_nothing_else() -> None:
    picked = chosen.picked(FOUND, ["one", FOUND[4].name, "gone"])
    assert [one.name for one in picked] == ["one", FOUND[4].name, "GPU 0"]


@pytest.mark.parametrize("dark", [False, True])
def test_no_two_load_tests_look_alike_and_none_like_an_engine(dark: bool) -> None:
    several = [_source(f"20260101-1000{i:02}-vllm-chat") for i in range(8)]
    engines = [_source("a", "vllm"), _source("b", "vllm"), _source("c", "triton")]
    lines = loads.lines([*engines, *several], dark)
    of_loads = [lines[one.name] for one in several]
    assert len(set(of_loads)) == len(of_loads)
    assert not {line.colour for line in of_loads} & {lines[one.name].colour for one in engines}


def test_a_load_test_keeps_its_look_when_another_is_added() -> None:
    first = _source("20260101-100000-vllm-chat")
    alone = loads.lines([first], dark=False)[first.name]
    assert loads.lines([first, _source("20260102-100000-x")], dark=False)[first.name] == alone


@pytest.mark.parametrize(
    ("name", "called"),
    [
        ("20260102-100305-vllm-chat", "10:03:05 chat"),
        ("20260102-100305-vllm-fastapi-chat", "10:03:05 chat"),
        ("20260102-100305-server-completion", "10:03:05 server-completion"),
        ("mine", "mine"),
    ],
)
def test_a_run_is_called_by_its_time_and_scenario(name: str, called: str) -> None:
    assert loads.called(name) == called


def test_a_load_test_is_marked_from_its_first_scrape_to_its_last() -> None:
    seen = [Series({"instance": "load"}, TIMES[1:4], (1.0,) * 3), Series({"instance": "x"}, (), ())]
    (one,) = loads.marked(seen, SPAN, {"load": LINE})
    assert (one.start_s, one.end_s) == (TIMES[1], TIMES[3] + SPAN.step_s)


def test_a_stretch_is_drawn_where_it_falls_into_the_range_and_named_where_there_is_room() -> None:
    whole = Stretch("<b>load</b>", LINE, SPAN.start_s - 60, SPAN.end_s + 60)
    narrow = Stretch("brief", LINE, SPAN.start_s, SPAN.start_s + 4)
    before = Stretch("before", LINE, SPAN.start_s - 60, SPAN.start_s - 30)
    layout = figures.stretches([whole, narrow, before], SPAN.start_s, SPAN.end_s)
    assert len(layout["shapes"]) == 2
    assert [one["text"] for one in layout["annotations"]] == ["&lt;b&gt;load&lt;/b&gt;"]


def test_names_of_load_tests_at_the_same_time_do_not_cover_each_other() -> None:
    both = [Stretch(name, LINE, SPAN.start_s, SPAN.end_s) for name in ("one", "two")]
    words = figures.stretches(both, SPAN.start_s, SPAN.end_s)["annotations"]
    assert words[0]["yshift"] - words[1]["yshift"] >= words[0]["font"]["size"]


def _readings(key: str, *several: Reading, source: str = "a") -> PanelReadings:
    return PanelReadings(panels.panel(key), {source: several}, ())


def _buckets(*at: dict[float, float], label: str = "") -> Reading:
    return Reading(label, "", TIMES[: len(at)], histograms=at)


def test_cells_are_the_rate_in_each_bucket_and_empty_rows_at_the_ends_are_left_out() -> None:
    bounds, rows = drawing.cells(
        _buckets(
            {1.0: 0.0, 2.0: 3.0, 4.0: 3.0, 8.0: 5.0, math.inf: 5.0},
            {1.0: 0.0, 2.0: 1.0, 4.0: 1.0, 8.0: 1.0, math.inf: 1.0},
        )
    )
    assert bounds == [2.0, 4.0, 8.0]
    assert rows == [[3.0, 1.0], [0.0, 0.0], [2.0, 0.0]]


def test_a_heatmap_of_nothing_is_an_empty_figure_and_an_empty_table() -> None:
    nothing = _buckets({1.0: 0.0, math.inf: 0.0})
    figure = drawing.heatmap(nothing, "s", LINE, SPAN)
    assert len(figure.data[0].z or ()) == 0
    assert drawing.heat_numbers(nothing, "s").empty


def test_a_heatmap_has_no_colour_where_nothing_was_seen() -> None:
    times = (SPAN.start_s, SPAN.start_s + 30 * SPAN.step_s)
    seen = Reading("", "", times, histograms=({1.0: 2.0, math.inf: 2.0},) * 2)
    trace = drawing.heatmap(seen, "s", LINE, SPAN).data[0]
    steps = range(len(trace.x))
    assert [x.timestamp() for x in trace.x] == [SPAN.start_s + i * SPAN.step_s for i in steps]
    assert [i for i, value in enumerate(trace.z[0]) if value is not None] == [0, 30]


def test_a_heatmap_s_table_has_the_cells_that_are_drawn() -> None:
    one = _buckets({0.1: 2.0, math.inf: 3.0})
    table = drawing.heat_numbers(one, "s")
    assert list(table.columns) == ["time", "bucket's upper bound (seconds)", "rate (1/s)"]
    assert list(table["rate (1/s)"]) == [2.0, 1.0]


def test_stacked_lines_reach_as_high_as_their_sum() -> None:
    curves = [Curve(name, LINE, TIMES, (2.0,) * 5, stacked=True) for name in "ab"]
    figure = figures.panel(curves, "count", SPAN.start_s, SPAN.end_s, 1)
    assert figure.layout.yaxis.range[1] >= 4.0
    assert [trace.stackgroup for trace in figure.data] == ["all", "all"]


def test_areas_of_one_source_have_colours_of_their_own() -> None:
    several = [Reading(label, "", TIMES, (1.0,) * 5) for label in ("stop", "length", "abort")]
    looks = [curve.line for curve in drawing.stack(several, dark=False)]
    assert len(set(looks)) == 3
    assert {look.colour for look in looks} <= set(theme.palette(False))


def test_labels_become_a_table_without_prometheus_s_own() -> None:
    told = {"__name__": "x", "instance": "a", "asked": "3", "block_size": "16", "none": "None"}
    table = drawing.facts(Reading("", "", TIMES, (1.0,) * 5, labels=told))
    assert list(table.iloc[:, 0]) == ["block_size"]


def test_a_bucket_whose_boundary_is_no_number_is_left_out() -> None:
    several = [
        Series({"le": le}, (1.0,), (value,))
        for le, value in (("0.5", 1.0), ("junk", 9.0), ("+Inf", 2.0))
    ]
    assert asking._by_time(Query("", "histogram", 1, "", "x"), several, "le") == {
        1.0: {0.5: 1.0, math.inf: 2.0}
    }


def test_values_of_a_label_are_readings_of_their_own() -> None:
    query = Query("", "line", 1, "", "x", by="reason")
    answer = [
        Series({"instance": "a", "reason": "full"}, TIMES, (1.0,) * 5),
        Series({"instance": "a", "reason": "late"}, TIMES, (2.0,) * 5),
    ]
    found = asking.interpret(query, answer)["a"]
    assert [(one.label, one.values[-1]) for one in found] == [("full", 1.0), ("late", 2.0)]


def test_answers_without_gaps_between_chunks_come_in_one_piece() -> None:
    some = _buckets({1.0: 2.0, math.inf: 2.0})
    none = _buckets({1.0: 0.0, math.inf: 0.0})
    whole = {
        "client_e2e": _readings("client_e2e", some),
        "client_chunk_gap": _readings("client_chunk_gap", none),
    }
    assert in_one_piece(whole, "a")
    assert not in_one_piece({**whole, "client_chunk_gap": _readings("client_chunk_gap", some)}, "a")
    # A load test that has had no answer yet may be anything.
    assert not in_one_piece({**whole, "client_e2e": _readings("client_e2e", none)}, "a")


def _look(*readings: PanelReadings) -> page.Look:
    return page.Look(readings, {"a": LINE}, SPAN, "p99", 0.99, ())


def test_the_ttft_of_answers_in_one_piece_is_not_shown() -> None:
    some, none = _buckets({1.0: 2.0, math.inf: 2.0}), _buckets({1.0: 0.0, math.inf: 0.0})
    look = _look(
        _readings("client_ttft", some),
        _readings("client_e2e", some),
        _readings("client_chunk_gap", none),
    )
    assert look.without(panels.panel("client_ttft")) == ["a"]
    assert look.without(panels.panel("client_e2e")) == []


def test_a_figure_s_menu_has_the_query_for_the_quantile_it_shows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: dict[str, dict[str, object]] = {}
    monkeypatch.setattr(page, "chart", lambda _f, key, _t, **said: drawn.update({key: said}))
    (pair,) = [one for one in PAIRS if one.key == "e2e"]
    one = PanelReadings(pair.client, {}, (), ("rates",), {"rates": 0.001})
    page._pair(_look(one, PanelReadings(pair.engine, {}, (), ("other",))), pair)
    assert drawn["pair-e2e"]["queries"] == ["rates", "other"]
    assert drawn["pair-e2e"]["quantiles"] == {"rates": "histogram_quantile(0.99, rates) * 0.001"}


def _tile(readings: dict[str, Reading], kind: str) -> str:
    every = [
        PanelReadings(panels.panel(key), {"a": (readings[key],)} if key in readings else {}, ())
        for key in tiles.PANELS
    ]
    return tiles.render([_source("a", kind)], every, {"a": LINE}, SPAN)


def test_a_classifier_s_load_is_not_called_ttft() -> None:
    times = (SPAN.end_s,)
    some = Reading("", "", times, histograms=({0.1: 5.0, math.inf: 5.0},))
    none = Reading("", "", times, histograms=({0.1: 0.0, math.inf: 0.0},))
    shown = _tile({"client_ttft": some, "client_e2e": some, "client_chunk_gap": none}, LOAD_TEST)
    assert "TTFT" not in shown
    assert "E2E p99" in shown
    streamed = _tile({"client_ttft": some, "client_e2e": some, "client_chunk_gap": some}, LOAD_TEST)
    assert "TTFT p99" in streamed


def test_an_engine_that_only_classified_shows_its_e2e() -> None:
    some = Reading("", "", (SPAN.end_s,), histograms=({0.1: 5.0, math.inf: 5.0},))
    none = Reading("", "", (SPAN.end_s,), histograms=({0.1: 0.0, math.inf: 0.0},))
    assert "TTFT" not in _tile({"ttft": none, "e2e": some}, "triton")
    assert "TTFT p99" in _tile({"ttft": some, "e2e": some}, "triton")
    assert "TTFT p99" in _tile({"ttft": none, "e2e": none}, "triton")


def test_a_tile_leaves_out_what_its_engine_does_not_export() -> None:
    value = Reading("", "", (SPAN.end_s,), (3.0,))
    shown = _tile({"running": value, "cpu": value}, "torchserve")
    assert "Running" in shown
    assert "KV cache" not in shown


def test_live_without_anything_says_what_to_start(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Answering() as server:
        monkeypatch.setenv("SERVING_LAB_PROMETHEUS_URL", server.url)
        app = AppTest.from_file(APP, default_timeout=60).run()
    assert not app.exception
    assert "lab up" in app.code[0].value


def _live(server: "Answering", monkeypatch: pytest.MonkeyPatch, **params: str) -> AppTest:
    monkeypatch.setenv("SERVING_LAB_PROMETHEUS_URL", server.url)
    app = AppTest.from_file(APP, default_timeout=60)
    app.query_params.update(params)
    app.run()
    assert not app.exception
    return app


def test_only_open_sections_are_asked_for(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Answering({"one": "vllm"}) as server:
        app = _live(server, monkeypatch, batching="false", processes="false")
        closed = server.asked()
        assert "vllm:num_requests_waiting_by_reason" not in closed
        assert "lab_instance_processes" not in closed
        _live(server, monkeypatch, batching="true", cache="true")
        opened = server.asked()
    assert len(app.expander) == len([one for one in SECTIONS if one.group not in ("client", "gpu")])
    assert "vllm:num_requests_waiting_by_reason" in opened
    assert "vllm:prefix_cache_hits_total" in opened
    assert "vllm:request_success_total" in opened


def test_one_look_takes_few_questions(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Answering({"one": "vllm", "two": "triton"}) as server:
        _live(server, monkeypatch)
        assert server.count <= 16


def test_the_address_chooses_instances(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Answering({"one": "vllm", "two": "triton"}) as server:
        app = _live(server, monkeypatch, instances="two")
        assert app.multiselect[0].value == ["two"]
        assert 'instance=~"one' not in server.asked()
        assert app.query_params["instances"] in ("two", ["two"])


def test_an_address_of_what_is_not_there_says_so(
    lab: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = "<script>alert(1)</script>"
    with Answering({"one": "vllm"}) as server:
        app = _live(server, monkeypatch, instances=f"one,{hostile}")
    (warning,) = [str(one.value) for one in app.warning]
    assert "<script>" not in warning
    assert "alert" in warning


def test_an_engine_that_ended_has_no_card(lab: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Answering({"one": "vllm"}, gone={"two": "triton"}) as server:
        app = _live(server, monkeypatch)
    cards = [str(one.proto.body) for one in app.get("html")]
    assert not any("two" in card for card in cards)
    assert any("two" in str(one.value) for one in app.caption)


def test_sources_kinds_have_a_look_each() -> None:
    kinds = [_source(name, name) for name in sources.MODEL_SERVERS]
    lines = loads.lines(kinds, dark=False)
    assert set(lines) == set(sources.MODEL_SERVERS)
