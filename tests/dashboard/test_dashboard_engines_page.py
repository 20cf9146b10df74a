"""The Engines page and the catalogue behind it."""

from pathlib import Path

import pytest
from dashboard_runs import records, write_run
from streamlit.testing.v1 import AppTest

from dashboard.engines import catalogue
from servers.catalog import ENGINES
from servers.contract import Engine, Knob, Metric

ROOT = Path(__file__).resolve().parents[2]
APP = str(ROOT / "dashboard" / "app.py")
PATIENCE_S = 60
ANSWERING = [name for name, engine in ENGINES.items() if engine.job == "engine"]


def opened(**params: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=PATIENCE_S)
    app.query_params.update(params)
    app.switch_page("views/engines.py").run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    kinds = ("markdown", "caption", "subheader", "info", "code")
    tables = "\n".join(table.value.to_string() for table in app.table)
    return "\n".join(str(one.value) for kind in kinds for one in app.get(kind)) + tables


@pytest.mark.parametrize("name", ENGINES)
def test_every_notebook_that_an_engine_names_is_there_and_has_a_goal(name: str) -> None:
    lessons = catalogue.lessons(ENGINES[name])
    assert len(lessons) == len(ENGINES[name].notebooks)
    for lesson in lessons:
        assert (ROOT / lesson.file).exists()
        assert lesson.title[:2].isdigit()
        assert len(lesson.goal) > 20


@pytest.mark.parametrize("name", ANSWERING)
def test_every_engine_that_answers_is_taught_somewhere(name: str) -> None:
    assert catalogue.lessons(ENGINES[name])


def test_a_notebook_that_is_not_here_is_left_out(tmp_path: Path) -> None:
    assert catalogue.lessons(ENGINES[ANSWERING[0]], tmp_path) == []


@pytest.mark.parametrize("name", ENGINES)
def test_each_engine_is_shown_whole(name: str, lab: Path) -> None:
    engine, app = ENGINES[name], opened(engine=name)
    words = said(app).replace("\\", "")
    assert engine.title in words
    for knob in engine.knobs:
        assert knob.name in words
        assert knob.flag in words
    for metric in engine.metrics:
        assert metric.name in words
    assert f"lab up {name}" in words


def test_all_engines_stand_on_the_page_at_first(lab: Path) -> None:
    assert list(opened().table[0].value.iloc[:, 0]) == [
        name.replace("-", "\\-") for name in ENGINES
    ]


def test_the_search_finds_a_flag_and_a_metric_in_any_engine() -> None:
    knob = Knob("max_batch", "--most", "int", 8, "Higher: more at once.")
    metric = Metric("batch_size", "eng_batch", "histogram", "count", "Requests in a batch.")
    engine = Engine(
        "eng", "Eng", "", {}, launch=lambda request: None, knobs=(knob,), metrics=(metric,)
    )  # type: ignore[arg-type,return-value]
    assert [hit.called for hit in catalogue.search("BATCH", [engine])] == ["--most", "eng_batch"]
    assert [hit.called for hit in catalogue.search("batch requests", [engine])] == ["eng_batch"]
    assert catalogue.search("nothing", [engine]) == []
    assert catalogue.search("  ", [engine]) == []


def test_a_search_is_in_the_address_and_says_where_it_finds_nothing(lab: Path) -> None:
    knob = ENGINES[ANSWERING[0]].knobs[0]
    assert knob.flag in said(opened(find=knob.flag)).replace("\\", "")
    assert "No engine has" in said(opened(find="nothing of that kind"))
    for found in (1, 2):
        one = next(
            knob.flag
            for engine in ENGINES.values()
            for knob in engine.knobs
            if len(catalogue.search(knob.flag, ENGINES.values())) == found
        )
        words = said(opened(find=one)).replace("\\", "")
        assert ("1 knob or metric" if found == 1 else "2 knobs and metrics") in words


def test_series_that_carry_a_concept_are_told_apart() -> None:
    metric = Metric("x", "m", "counter", "s", "", scale=1e-6, selector={"a": "1", "b": ("2", "3")})
    assert catalogue.exposed(metric) == 'm{a="1",b=~"2|3"}'
    assert catalogue.unit(metric) == "seconds (× 1e-06)"


def test_an_engine_with_runs_leads_to_them(lab: Path) -> None:
    write_run(lab / "runs", "a", records(60))
    links = [one.proto.label for one in opened(engine="vllm").get("page_link")]
    assert "Its runs (1)" in links
    assert len(opened(engine="tgi").get("page_link")) == len(links) - 1


def test_an_address_of_no_engine_shows_all(lab: Path) -> None:
    assert len(opened(engine="nowhere").table[0].value) == len(ENGINES)
