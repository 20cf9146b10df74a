"""The page SLO: its ladders, budget and tables, and its logic run without a browser."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dashboard_runs import HOSTILE, cut_off, damage, records, write_run
from streamlit.testing.v1 import AppTest

from dashboard.slo import budget, ladder, ladder_figures, measured
from dashboard.slo.measured import Measured
from dashboard.theme import Line
from measure.attainment import Attainment
from measure.records import Record
from measure.slo import Slo
from measure.store import list_runs, open_run

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")
PATIENCE_S = 60
LINE = Line("#0072b2", "solid")
SLO = Slo(ttft_s=0.1, itl_s=0.021)


def _page(**params: Any) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=PATIENCE_S)
    app.query_params.update(params)
    return app.switch_page("views/slo.py").run()


def _words(app: AppTest) -> str:
    kinds = ("markdown", "caption", "subheader", "text", "info", "warning", "error", "code")
    return "\n".join(str(one.value) for kind in kinds for one in app.get(kind))


def _rate(rate_rps: float) -> dict[str, Any]:
    return {"kind": "poisson", "rate_rps": rate_rps}


def _read(lab: Path, name: str) -> Measured:
    found = measured.read(lab / "runs" / name)
    assert isinstance(found, Measured)
    return found


def _table(app: AppTest, column: str) -> Any:
    # The cells of those that wrap are Markdown.
    wrapped = [one.value.map(lambda cell: cell.replace("\\", "")) for one in app.table]
    tables = [*(one.value for one in app.dataframe), *wrapped]
    return next(one for one in tables if column in one.columns)


def _held(good: int, finished: int) -> Attainment:
    bad = finished - good
    return Attainment(
        good, finished, float(finished), good / 10, {("ttft",): bad} if bad else {}, {}
    )


@pytest.mark.parametrize("arrival", [{"kind": "closed", "users": 8}, _rate(20.0)])
def test_the_numbers_are_those_of_the_summary(lab: Path, arrival: dict[str, Any]) -> None:
    write_run(lab / "runs", "a", records(400), slo=SLO, arrival=arrival)
    one = _read(lab, "a")
    found = one.held_against(one.own_slo)
    summary = open_run(lab / "runs" / "a").summary
    assert 0 < summary["slo_attainment"] < 1
    assert found.share == summary["slo_attainment"]
    assert found.goodput_rps == summary["goodput_rps"]
    burn = one.burn(one.own_slo, 0.9, 5.0)
    assert burn.used[-1] == pytest.approx((1 - summary["slo_attainment"]) / 0.1)


def test_the_page_shows_the_summarys_attainment(lab: Path) -> None:
    write_run(lab / "runs", "a", records(400), slo=SLO)
    app = _page()
    assert not app.exception
    share = open_run(lab / "runs" / "a").summary["slo_attainment"]
    shown = _table(app, "Attainment")["Attainment"][0]
    assert shown.startswith(f"{share * 100:.3g} %")


# Ladders


def test_one_line_for_each_engine_and_its_settings(lab: Path) -> None:
    for name, settings, rate in (("a", 16, 5.0), ("b", 16, 20.0), ("c", 1, 20.0)):
        write_run(lab / "runs", name, records(300), settings={"max_num_seqs": settings},
                  arrival=_rate(rate))  # fmt: skip
    write_run(lab / "runs", "d", records(300), engine="tgi", arrival=_rate(5.0))
    found = ladder.ladders([_read(lab, name) for name in "abcd"])
    assert {name: one.name for name, one in found.items()} == {
        "a": "vllm max_num_seqs=16", "b": "vllm max_num_seqs=16",
        "c": "vllm max_num_seqs=1", "d": "tgi",
    }  # fmt: skip
    assert found["c"].settings == "max_num_seqs=1"
    assert found["d"].settings == ""


def test_a_batch_and_a_run_that_sent_nothing_have_no_load(lab: Path) -> None:
    write_run(lab / "runs", "batch", records(100), arrival={"kind": "batch", "requests": 100})
    assert ladder.load_of(_read(lab, "batch")) is None
    write_run(lab / "runs", "ramp", records(200), warmup_s=0.0,
              arrival={"kind": "ramp", "from_rps": 1, "to_rps": 40, "over_s": 10})  # fmt: skip
    kind, rate = ladder.load_of(_read(lab, "ramp")) or ("", 0)
    assert kind == "rate"
    assert rate == pytest.approx(20, rel=0.1)


@pytest.mark.parametrize("names", [["vllm 2", "vllm 10"], ["vllm n=2", "vllm n=4", "vllm n=16"]])
def test_ladders_stand_in_the_order_of_their_numbers(names: list[str]) -> None:
    points = [
        replace(_point(name, 2.0, _held(1, 2)), ladder=ladder.Ladder(name, "vllm", ""))
        for name in reversed(names)
    ]
    assert [one.name for one in ladder.pooled(points)] == names


def test_ladders_that_differ_in_much_are_numbered(lab: Path) -> None:
    many = {f"a_knob_of_some_length_{i}": i for i in range(3)}
    write_run(lab / "runs", "a", records(100), arrival=_rate(2), settings=many)
    other = dict.fromkeys(many, 9)
    write_run(lab / "runs", "b", records(100), arrival=_rate(2), settings=other)
    found = ladder.ladders([_read(lab, name) for name in "ab"])
    assert [found[name].name for name in "ab"] == ["vllm 1", "vllm 2"]


def _point(name: str, load: float, found: Attainment, verdict: str = "valid") -> ladder.Point:
    own = ladder.Ladder("vllm", "vllm", "")
    return ladder.Point(name, own, "rate", load, found, verdict, False, 10.0)


def test_settings_of_one_engine_have_colours_of_their_own_and_engines_keep_theirs() -> None:
    def colours(*ladders: tuple[str, str]) -> dict[str, str]:
        points = [
            replace(_point(name, 2.0, _held(1, 2)), ladder=ladder.Ladder(name, engine, ""))
            for name, engine in ladders
        ]
        return {name: line.colour for name, line in ladder_figures.lines(points, False).items()}

    one = colours(("vllm 1", "vllm"), ("vllm 2", "vllm"))
    assert one["vllm 1"] != one["vllm 2"]
    beside = colours(("vllm 1", "vllm"), ("vllm 2", "vllm"), ("triton", "triton"))
    assert beside["vllm 1"] == beside["vllm 2"] == colours(("vllm", "vllm"))["vllm"]


def test_where_it_breaks_is_said_between_measured_loads() -> None:
    points = [_point("a", 2.0, _held(500, 500)), _point("b", 8.0, _held(100, 500))]
    row = ladder.breaks(points, 0.99).iloc[0]
    assert (row["Holds to"], row["Loses it at"]) == ("2/s", "8/s")
    assert row["So"] == "It breaks between 2/s and 8/s."


def test_an_invalid_run_concludes_nothing_and_is_drawn_open() -> None:
    points = [_point("a", 2.0, _held(500, 500)), _point("b", 8.0, _held(1, 500), "invalid")]
    assert ladder.breaks(points, 0.99).iloc[0]["Loses it at"] == "–"
    figure = ladder_figures.attainment_figure(points, 0.99, {"vllm": LINE})
    dots = [trace for trace in figure.data if trace.error_y.array is not None]
    assert [dot.marker.symbol for dot in dots] == ["circle", "x-open"]
    line = next(trace for trace in figure.data if trace.mode == "lines+markers")
    assert list(line.x) == [2.0]


def test_runs_of_one_load_are_one_point_of_the_line() -> None:
    points = [_point("a", 4.0, _held(90, 100)), _point("b", 4.0, _held(200, 300))]
    figure = ladder_figures.attainment_figure(points, 0.9, {"vllm": LINE})
    line = next(trace for trace in figure.data if trace.mode == "lines+markers")
    assert list(line.y) == [pytest.approx(290 / 400)]


def test_the_fewest_requests_that_can_hold_an_objective() -> None:
    assert [ladder.fewest(level) for level in (0.9, 0.99, 0.999)] == [36, 368, 3688]


# Budget and misses


def test_stretches_fit_the_window() -> None:
    assert budget.widths_s(60.0) == (2, 10)
    assert budget.widths_s(0.0) == (0.5,)
    assert budget.widths_s(1e6) == (3600,)


def test_each_bad_request_is_in_one_bar(lab: Path) -> None:
    write_run(lab / "runs", "a", records(400), slo=SLO)
    one = _read(lab, "a")
    found = one.held_against(SLO)
    figure = budget.missed_figure([("a", found)], False)
    assert figure.layout.yaxis.type == "category"
    assert {trace.name for trace in figure.data} == {"failed", "TTFT", "ITL", "TTFT + ITL"}
    shares = sum(trace.x[0] for trace in figure.data)
    assert shares == pytest.approx(1 - found.good / found.finished)
    numbers = budget.missed_numbers([("a", found)])
    assert numbers["requests"].sum() == found.finished - found.good


def test_the_worst_runs_come_first(lab: Path) -> None:
    write_run(lab / "runs", "a", records(100))
    one = _read(lab, "a")
    runs = [(replace(one, run_id=str(good)), _held(good, 100)) for good in (90, 100, 10)]
    assert [name for name, _ in budget.most_missed(runs, 5)] == ["10", "90"]
    assert [name for name, _ in budget.most_missed(runs, 1)] == ["10"]


def test_the_burn_of_a_run_that_lost_everything(lab: Path) -> None:
    write_run(lab / "runs", "a", records(300))
    burn = _read(lab, "a").burn(Slo(ttft_s=1e-6), 0.99, 2.0)
    known = burn.rate[~np.isnan(burn.rate)]
    assert known == pytest.approx(100.0)
    assert burn.used[-1] == pytest.approx(100.0)
    assert len(budget.burn_figure([burn], LINE).data) == 1
    assert budget.used_figure(burn, LINE).data[0].y[-1] == pytest.approx(100.0)


def test_groups_are_runs_of_one_engine_and_scenario(lab: Path) -> None:
    for name, engine in (("a", "vllm"), ("b", "vllm"), ("c", "tgi")):
        write_run(lab / "runs", name, records(50), engine=engine)
    damage(lab / "runs", "broken")
    assert measured.groups(list_runs(lab / "runs")) == {"vllm chat": ["b", "a"]}


# The page


def test_no_run_says_how_to_make_them(lab: Path) -> None:
    app = _page()
    assert not app.exception
    assert "--slo" in app.code[0].value


def test_without_an_slo_the_page_asks_for_one_and_offers_one(lab: Path) -> None:
    write_run(lab / "runs", "a", records(300))
    app = _page()
    assert not app.exception
    assert "asked to keep to nothing" in _words(app)
    app.button(key="example").click().run()
    assert not app.exception
    assert app.text_input(key="slo").value == "ttft=0.5,itl=50ms"
    assert len(app.get("plotly_chart")) >= 4


def test_the_address_gives_the_slo_the_objective_and_the_group(lab: Path) -> None:
    for name, rate in (("a", 5.0), ("b", 10.0), ("c", 20.0)):
        write_run(lab / "runs", name, records(300), arrival=_rate(rate))
    app = _page(runs="a", slo="ttft=100ms", objective="90", group="vllm chat")
    assert not app.exception
    assert set(_table(app, "Attainment")["Run"]) == {"a", "b", "c"}
    assert set(_table(app, "Attainment")["SLO"]) == {"ttft=0.1"}
    assert _table(app, "Holds to")["Loads measured"][0] == "5, 10, 20"
    assert "holds 90 % if" in _words(app)


@pytest.mark.parametrize("written", ["ttft=fast", "nonsense", "itl=1,itl=2", HOSTILE])
def test_bad_text_is_an_error_and_the_page_stays(lab: Path, written: str) -> None:
    write_run(lab / "runs", "a", records(300), slo=SLO)
    app = _page(slo=written)
    assert not app.exception
    assert len(app.error) == 1
    assert "<" not in str(app.error[0].value).replace("\\<", "")
    assert _table(app, "Attainment")["SLO"][0] == str(SLO)


def test_different_slos_do_not_compare_and_a_run_without_one_is_left_out(lab: Path) -> None:
    write_run(lab / "runs", "a", records(300), slo=SLO)
    write_run(lab / "runs", "b", records(300), slo=Slo(ttft_s=1.0))
    write_run(lab / "runs", "c", records(300))
    app = _page(runs="a,b,c")
    assert not app.exception
    words = _words(app)
    assert "different SLOs" in words
    assert "Left out" in words
    assert list(_table(app, "Attainment")["Run"]) == ["a", "b"]


def test_users_have_figures_of_their_own(lab: Path) -> None:
    write_run(lab / "runs", "a", records(300), slo=SLO)
    write_run(lab / "runs", "b", records(300), slo=SLO, arrival=_rate(20.0))
    app = _page(runs="a,b")
    assert not app.exception
    words = _words(app)
    assert "Attainment against rate" in words
    assert "Attainment against users" in words


def _one_token(count: int) -> list[Record]:
    return [
        replace(one, last_content_s=one.first_content_s, chunk_s=one.chunk_s[:1],
                chunks=min(one.chunks, 1), output_tokens=None if one.error else 1)
        for one in records(count)
    ]  # fmt: skip


def test_answers_of_one_token_miss_an_slo_on_itl_and_that_is_said(lab: Path) -> None:
    write_run(lab / "runs", "a", _one_token(300))
    app = _page(slo="itl=1")
    assert not app.exception
    assert "without ITL" in _table(app, "Attainment")["Missed"][0]
    assert "have no ITL or TPOT" in _words(app)


def test_one_request_settles_nothing(lab: Path) -> None:
    write_run(lab / "runs", "a", records(1), warmup_s=0.0)
    app = _page(slo="ttft=1")
    assert not app.exception
    assert "Too few requests to tell" in _table(app, "Holds to")["So"][0]


def test_a_run_that_failed_whole_concludes_nothing(lab: Path) -> None:
    write_run(lab / "runs", "a", [records(50)[49]], warmup_s=0.0)
    app = _page(slo="ttft=1")
    assert not app.exception
    assert _table(app, "Attainment")["Missed"][0] == "failed 1"
    assert not any("Holds to" in table.value.columns for table in [*app.dataframe, *app.table])


def test_a_window_without_requests_is_said(lab: Path) -> None:
    write_run(lab / "runs", "a", records(60), warmup_s=30.0)
    app = _page(slo="ttft=1")
    assert not app.exception
    assert "No request in the window" in _words(app)


def test_a_running_run_and_damaged_ones_are_shown_for_what_they_are(lab: Path) -> None:
    writer = write_run(lab / "runs", "a", records(300), finish=False)
    write_run(lab / "runs", "b", records(120))
    (lab / "runs" / "b" / "requests.parquet").write_bytes(b"PAR1 and nothing else")
    damage(lab / "runs", "broken")
    app = _page(runs="a,b,broken", slo="ttft=1")
    assert not app.exception
    assert any("requests" in str(one.value) for one in app.error)
    assert _table(app, "Attainment")["Client"][0] == "running"
    writer.close()


def test_hostile_names_are_text(lab: Path) -> None:
    for name in ("a", "b"):
        write_run(lab / "runs", name, records(300), name=HOSTILE, engine=HOSTILE,
                  settings={HOSTILE: HOSTILE}, arrival=_rate(5.0))  # fmt: skip
    app = _page(runs="a,b", slo="ttft=1")
    assert not app.exception
    for shown in (str(one.value) for one in (*app.markdown, *app.caption)):
        assert "<script" not in shown
        assert "<img" not in shown
    points = ladder.points(
        [(one, one.held_against(SLO)) for one in (_read(lab, "a"), _read(lab, "b"))]
    )
    figure = ladder_figures.attainment_figure(points, 0.9, ladder_figures.lines(points, False))
    for trace in figure.data:
        assert "<script" not in (trace.name or "") + (trace.hovertemplate or "")


def test_requests_cut_off_at_the_end_are_counted_and_many_of_them_said(lab: Path) -> None:
    write_run(lab / "runs", "few", cut_off(records(400), 4), arrival=_rate(20))
    write_run(lab / "runs", "many", cut_off(records(400), 100), arrival=_rate(20))
    app = _page(runs="few,many", slo="ttft=0.1")
    assert not app.exception
    said = _words(app).replace("\\", "")
    assert "In many many requests were cut off" in said and "In few" not in said
    shown = next(one.value for one in app.dataframe if "Cut off" in one.value.columns)
    assert list(shown["Cut off"]) == ["4", "100"]
