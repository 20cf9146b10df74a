"""The pure parts of the Compare page: what differs, effects, the scatter, names in short."""

from pathlib import Path
from typing import Any

import pytest
from dashboard_runs import HOSTILE, cut_off, records, write_run
from hypothesis import given
from hypothesis import strategies as st
from streamlit.testing.v1 import AppTest

from dashboard import runs
from dashboard.compare import differences, scatter, tables
from dashboard.compare.scatter import Called
from dashboard.runs import LoadedRun
from dashboard.short_names import LONGEST, short
from dashboard.theme import lines_for_runs
from measure.compare import Cell, Comparison, Setting, compare, distributions, effects
from servers.catalog import ENGINES

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")
WORDS = st.sampled_from(["vllm", "tgi", "chat", "061302", "061336", "a b", "x" * 40, "<b>", "…"])


def _load(path: Path) -> LoadedRun:
    loaded = runs.load(path)
    assert isinstance(loaded, LoadedRun)
    return loaded


@given(st.lists(st.lists(WORDS, min_size=1, max_size=4).map("-".join), min_size=1, unique=True))
def test_short_names_are_short_and_as_different_as_the_names(names: list[str]) -> None:
    found = short(names)
    assert len(found) == len(names) == len(set(found))
    assert all(0 < len(name) <= LONGEST + len(" (99)") for name in found)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["20261123-061302-tgi", "20261123-061336-tgi"], ["061302", "061336"]),
        (["20261123-061302-tgi", "20261123-065702-vllm"], ["061302-tgi", "065702-vllm"]),
        (["only-one"], ["only-one"]),
        (["a", "a-b"], ["a", "a-b"]),
        (["run-1", "run-1-again"], ["1", "1-again"]),
        (["x" * 40 + "1", "x" * 40 + "2"], ["xxxxxxxx…xxxxxxx1", "xxxxxxxx…xxxxxxx2"]),
    ],
)
def test_what_all_names_share_is_left_out(names: list[str], said: list[str]) -> None:
    assert short(names) == said


def _headline(**values: tuple[object, ...]) -> str:
    found = tuple(Setting(name.replace("__", "."), pair) for name, pair in values.items())
    count = len(found[0].values) if found else 2
    ids = tuple("abcdefgh"[:count])
    return differences.headline(Comparison(ids, ids, (), found, ()), ENGINES)


def test_the_knob_that_differs_is_said_in_a_line() -> None:
    assert _headline(engine__settings__max_num_seqs=(16, 1)) == "max_num_seqs 16 → 1"
    assert _headline(load__arrival__users=(1, 4, 16, 4)) == "users 1, 4, 16"
    assert _headline(git_commit=("a", "b"), versions__python=("1", "2")) == ""
    assert _headline() == ""


def test_engines_come_first_then_knobs_then_the_load_and_no_more_than_four() -> None:
    line = _headline(
        load__duration_s=(5, 10),
        load__seed=(1, 2),
        engine__settings__dtype=("bf16", "fp32"),
        engine__settings__only_vllm=(3, None),
        engine__model=("/home/x/models/SmolLM2", "other"),
        engine__name=("vllm", "tgi"),
    )
    assert line == "engine vllm → tgi · dtype bf16 → fp32 · model SmolLM2 → other · " + (
        "duration_s 5 → 10 · and 1 more"
    )


@pytest.fixture
def three(tmp_path: Path) -> list[LoadedRun]:
    for name, ttft_s in (("a", 0.08), ("b", 0.4), ("c", 0.08)):
        write_run(tmp_path, name, records(600, ttft_s=ttft_s, seed=ord(name)))
    return [_load(tmp_path / name) for name in "abc"]


def test_every_run_is_held_against_the_baseline(three: list[LoadedRun]) -> None:
    known = [distributions(one.run) for one in three]
    found = compare([one.run for one in three], baseline=2, known=known)
    ratios = tables.ratios(found, list("abc")).set_index("")
    assert list(ratios.columns) == ["a", "b"]
    assert ratios.loc["TTFT p50", "a"].endswith("not told apart")
    assert ratios.loc["TTFT p50", "b"].endswith("  differ")
    rows = [row for row in found.rows if (row.metric, row.quantile) == ("ttft_s", "p50")]
    slower = effects("ttft_s", known, baseline=2)
    table = tables.effects(slower, rows, list("abc"), 2).set_index("Run")
    assert list(table.index) == ["a", "b"]
    assert list(table["p50"]) == [ratios.loc["TTFT p50", name] for name in "ab"]
    assert slower[1] is not None and slower[1].ci95 is not None
    low, high = (f"{100 * edge:.3g}" for edge in slower[1].ci95)
    said = f"{100 * slower[1].probability:.3g} %  [{low}–{high} %]  differ"
    assert table.loc["b", "A request is slower in"] == said
    assert table.loc["b", "Cliff's delta"] == f"{slower[1].delta:+.2f}"


def test_any_number_is_drawn_against_any_other(three: list[LoadedRun]) -> None:
    comparison = compare([one.run for one in three])
    known = scatter.axes(comparison, [one.run for one in three], ENGINES)
    assert {"TTFT p50", "TTFT p99", "E2E max", "Output tokens", "Sent", "Answered"} <= set(known)
    assert scatter.defaults(known) == ("Output tokens", "TTFT p99")
    lines = lines_for_runs(list("abc"), dark=False)
    called = [Called(HOSTILE if n == "a" else n, n, lines[n]) for n in "abc"]
    x, y = known["Output tokens"], known["TTFT p50"]
    figure = scatter.figure(called, x, y)
    assert [trace.name for trace in figure.data] == ["a", "b", "c"]
    for trace, one in zip(figure.data, three, strict=True):
        facts = one.run.summary["ttft_s"]
        assert trace.y[0] == facts["p50"]
        assert trace.y[0] + trace.error_y.array[0] == pytest.approx(facts["ci95"]["p50"][1])
        assert trace.y[0] - trace.error_y.arrayminus[0] == pytest.approx(facts["ci95"]["p50"][0])
        assert trace.x[0] == one.run.summary["output_tokens_per_s"]
        assert "<script" not in trace.hovertext[0]
    frame = scatter.numbers(called, x, y)
    assert list(frame["y: TTFT p50 (seconds)"]) == [
        one.run.summary["ttft_s"]["p50"] for one in three
    ]


@pytest.mark.parametrize(
    ("runs", "mode", "legend"), [(3, "markers+text", False), (8, "markers", True)]
)
def test_few_points_are_named_beside_them_off_the_edges_and_many_in_the_legend(
    runs: int, mode: str, legend: bool
) -> None:
    names = [f"run-{place}" for place in range(runs)]
    lines = lines_for_runs(names, dark=False)
    rates = scatter.Axis("Answered", "rps", tuple(Cell(float(place)) for place in range(runs)))
    called = [Called(name, name, lines[name]) for name in names]
    figure = scatter.figure(called, rates, rates)
    assert {trace.mode for trace in figure.data} == {mode}
    assert figure.layout.showlegend is legend
    sides = [trace.textposition.split()[1] for trace in figure.data]
    assert (sides[0], sides[-1]) == ("right", "left")


def test_a_run_that_lacks_a_number_is_left_out_by_name(tmp_path: Path) -> None:
    write_run(tmp_path, "a", records(600))
    write_run(tmp_path, "b", records(20))
    both = [_load(tmp_path / name).run for name in "ab"]
    known = scatter.axes(compare(both), both, ENGINES)
    lines = lines_for_runs(["a", "b"], dark=False)
    called = [Called(name, name, lines[name]) for name in "ab"]
    assert scatter.left_out(called, known["Sent"], known["TTFT p99"]) == ["b"]
    assert len(scatter.figure(called, known["Sent"], known["TTFT p99"]).data) == 1
    assert scatter.defaults(known)[1] == "TTFT p99"


def _app(**params: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    app.query_params.update(params)
    return app.switch_page("views/compare.py").run()


def test_the_address_says_axes_and_baseline(lab: Path) -> None:
    for name in "abc":
        write_run(lab / "runs", name, records(300, seed=ord(name)))
    app = _app(runs="a,b,c", x="TTFT p50", y="E2E max", baseline="b")
    assert not app.exception
    assert [app.selectbox(key=key).value for key in ("baseline", "x", "y")] == [
        "b",
        "TTFT p50",
        "E2E max",
    ]
    shown = next(one.value for one in app.dataframe if "Cliff's delta" in one.value.columns)
    assert list(shown["Run"]) == ["a", "c"]
    app.selectbox(key="baseline").set_value("a").run()
    assert "baseline" not in app.query_params
    app.selectbox(key="baseline").set_value("c").run()
    assert app.query_params["baseline"] in ("c", ["c"])
    app.multiselect[0].set_value(["a", "b"]).run()
    assert not app.exception
    assert app.selectbox(key="baseline").value == "a"


def test_a_changed_knob_stands_above_the_figures_and_notes_below_the_tiles(lab: Path) -> None:
    write_run(lab / "runs", "a", records(300))
    write_run(lab / "runs", "b", records(300), settings={"max_num_seqs": 1})
    (lab / "runs" / "b" / "notes.json").write_text('{"tags": ["slow <b>"], "note": "why?"}')
    app = _app(runs="a,b")
    words = "\n".join(str(one.value) for one in (*app.markdown, *app.caption)).replace("\\", "")
    assert "Differs in:** max_num_seqs 16 → 1" in words
    assert "b: #slow <b> why?" in words


def test_damaged_notes_are_said_and_the_rest_is_shown(lab: Path) -> None:
    write_run(lab / "runs", "a", records(300))
    (lab / "runs" / "a" / "notes.json").write_text('{"tags": 3}')
    app = _app(runs="a")
    assert not app.exception
    assert any("notes.json" in str(one.value).replace("\\", "") for one in app.warning)
    assert len(app.get("plotly_chart")) == 5


@pytest.mark.parametrize(
    ("arrival", "name"),
    [
        ({"kind": "closed", "users": 4}, "TTFT p99"),
        ({"kind": "poisson", "rate_rps": 20.0}, "TTFT sched. p99"),
    ],
)
def test_a_tile_says_from_when_its_ttft_counts(lab: Path, arrival: Any, name: str) -> None:
    write_run(lab / "runs", "a", records(300), arrival=arrival)
    html = " ".join(str(one.value) for one in _app(runs="a").get("html"))
    assert f">{name}<" in html


@pytest.mark.parametrize("runs", ["a", "a,b"])
def test_requests_cut_off_at_the_end_are_said_of_one_run_and_of_several(
    lab: Path, runs: str
) -> None:
    write_run(lab / "runs", "a", cut_off(records(400), 50))
    write_run(lab / "runs", "b", records(400))
    app = _app(runs=runs)
    assert not app.exception
    assert "requests were cut off when the load ended" in " ".join(
        str(one.value) for one in app.markdown
    )
    if "," in runs:
        numbers = next(one.value for one in app.dataframe if "Requests" in [*one.value.iloc[:, 0]])
        assert numbers.set_index("").loc["Cut off at the end", "a"] == "50"


@pytest.mark.parametrize("page", ["compare", "tails"])
@pytest.mark.parametrize(
    ("arrival", "first"),
    [
        ({"kind": "closed", "users": 4}, "ttft_s"),
        ({"kind": "poisson", "rate_rps": 20.0}, "ttft_from_schedule_s"),
    ],
)
def test_an_open_loop_is_shown_from_schedule_first(
    lab: Path, page: str, arrival: Any, first: str
) -> None:
    write_run(lab / "runs", "a", records(300), arrival=arrival)
    app = AppTest.from_file(APP, default_timeout=60)
    app.query_params["runs"] = "a"
    app.switch_page(f"views/{page}.py").run()
    assert app.segmented_control(key="metric").value == first
