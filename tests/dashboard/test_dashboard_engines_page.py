"""The Engines page and the catalogue behind it."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from dashboard_runs import records, write_run
from streamlit.testing.v1 import AppTest

from dashboard import sources
from dashboard.engines import catalogue
from dashboard.health import tables
from dashboard.health.facts import Target
from dashboard.prometheus import Series
from servers import instances, processes
from servers.catalog import ENGINES
from servers.contract import Engine, Knob, Metric
from servers.instances import Instance

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


@pytest.fixture
def parent_and_child(lab: Path) -> Iterator[Instance]:
    """An instance of two processes as the lab leaves it, which answers nobody."""
    started_s = time.time()
    named = {processes.MARK: f"{instances.name_mark('twins')}{started_s}:"}
    made = subprocess.Popen(
        ["bash", "-c", "sleep 300 & echo; wait"],
        env=os.environ | named,
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    assert made.stdout is not None and made.stdout.readline()
    one = Instance(
        name="twins", engine="vllm", pid=made.pid, create_time=psutil.Process(made.pid).create_time(),
        argv=(), ports={"http": 9}, host="127.0.0.1", base_url="http://127.0.0.1:9",
        ready_url="http://127.0.0.1:9", metrics_url=None, log="", settings={}, model=None,
        served_name="", device="cpu", protocols=(), job="engine", started_s=started_s,
        ready_timeout_s=9.0, stop_grace_s=1.0, ready=True,
    )  # fmt: skip
    file = instances.state_file("twins")
    file.parent.mkdir(parents=True)
    file.write_text(one.to_json())
    yield one
    for left in instances.members(one):
        left.signal(signal.SIGKILL)
    made.wait()


def _said_everywhere(up: float | None) -> set[str]:
    """The state of the twins on Engines, on Live and on Health, as far as they show it."""
    (row,) = catalogue.running(ENGINES["vllm"]).to_dict("records")
    labels = {"job": "engine", "engine": "vllm", "instance": "twins"}
    seen = [Series(labels, (1.0,), (1.0,))]
    up_now = [] if up is None else [Series(labels, (1.0,), (up,))]
    (live,) = sources.merge(sources.local_sources(), seen, up_now)
    found = {row["State"], live.state}
    if up is not None:
        target = Target("twins", "engine", "vllm", "", bool(up), "", 0.1, 1.0)
        here = {one.name: one.state for one in sources.local_sources()}
        found |= {*tables.targets([target], here)["State"]}
    return found


def test_an_engine_that_was_killed_and_left_processes_has_one_state_on_every_page(
    parent_and_child: Instance,
) -> None:
    assert _said_everywhere(1.0) == _said_everywhere(None) == {"runs"}
    assert "runs" in said(opened(engine="vllm"))
    os.kill(parent_and_child.pid, signal.SIGKILL)
    os.waitid(os.P_PID, parent_and_child.pid, os.WEXITED | os.WNOWAIT)
    assert instances.status(parent_and_child) == "unhealthy"
    assert instances.by_processes(parent_and_child) == "unhealthy"
    for up in (1.0, 0.0, None):
        assert _said_everywhere(up) == {sources.FIRST_GONE}
    page = said(opened(engine="vllm"))
    assert sources.FIRST_GONE in page and "`lab down NAME`" in page
    for left in instances.members(parent_and_child):
        left.signal(signal.SIGKILL)
    while instances.members(parent_and_child):
        time.sleep(0.05)
    assert instances.status(parent_and_child) == instances.by_processes(parent_and_child) == "dead"
    for up in (0.0, None):
        assert _said_everywhere(up) == {sources.ALL_GONE}
