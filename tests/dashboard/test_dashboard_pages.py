"""The logic of the pages, run by Streamlit without a browser."""

from pathlib import Path

import pytest
from dashboard_runs import HOSTILE, damage, records, write_run
from streamlit.testing.v1 import AppTest

from dashboard import early

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")
PATIENCE_S = 60


def _compare(**params: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=PATIENCE_S)
    app.query_params.update(params)
    return app.switch_page("views/compare.py").run()


def _asked(app: AppTest) -> str:
    value = app.query_params["runs"]
    return value if isinstance(value, str) else ",".join(value)


def _words(app: AppTest) -> str:
    kinds = ("markdown", "caption", "subheader", "text", "info", "warning", "error", "code")
    return "\n".join(str(one.value) for kind in kinds for one in app.get(kind))


def test_live_without_prometheus_says_how_to_start_it(lab: Path) -> None:
    app = AppTest.from_file(APP, default_timeout=PATIENCE_S).run()
    assert not app.exception
    words = _words(app)
    assert "lab up prometheus" in words
    assert "http://127.0.0.1:9" in words
    assert "SERVING_LAB_PROMETHEUS_URL" in words


def test_live_keeps_its_choices_in_the_address(lab: Path) -> None:
    app = AppTest.from_file(APP, default_timeout=PATIENCE_S)
    app.query_params.update({"range": "1 h", "quantile": "p50", "follow": "false"})
    app.run()
    assert not app.exception
    assert app.session_state["range"] == "1 h"
    assert app.session_state["quantile"] == "p50"
    assert app.session_state["follow"] is False


@pytest.mark.parametrize(
    ("page", "key", "usual"),
    [
        ("live", "range", "5 min"),
        ("live", "quantile", "p99"),
        ("memory", "range", "15 min"),
        ("compare", "metric", None),
        ("slo", "objective", "99"),
    ],
)
def test_an_empty_value_in_the_address_asks_for_nothing(
    lab: Path, page: str, key: str, usual: str | None
) -> None:
    for run_id in ("a", "b"):
        write_run(lab / "runs", run_id, records(60))
    app = AppTest.from_file(APP, default_timeout=PATIENCE_S)
    app.query_params[key] = ""
    app.switch_page(f"views/{page}.py").run()
    assert not app.exception
    assert key not in app.query_params
    if usual:
        assert app.session_state[key] == usual


def test_no_run_shows_the_two_commands(lab: Path) -> None:
    app = _compare()
    assert not app.exception
    assert "No run yet" in _words(app)
    assert app.code[0].value.count("lab run") == 2


def test_one_run_is_shown_with_a_hint(lab: Path) -> None:
    write_run(lab / "runs", "only", records(300))
    app = _compare()
    assert not app.exception
    assert app.multiselect[0].value == ["only"]
    assert "Choose a second run" in _words(app)
    assert len(app.get("plotly_chart")) == 5


def test_two_runs_are_compared_and_go_into_the_address(lab: Path) -> None:
    write_run(lab / "runs", "20260101-a", records(300))
    write_run(lab / "runs", "20260102-b", records(300, seed=2), settings={"max_num_seqs": 1})
    app = _compare()
    assert not app.exception
    assert _asked(app) == "20260101-a,20260102-b"
    assert any("second ÷ first" in table.value.columns for table in app.dataframe)
    assert "Settings that differ" in _words(app)


def test_the_address_chooses_runs_and_metric(lab: Path) -> None:
    for name in ("a", "b", "c"):
        write_run(lab / "runs", name, records(120))
    app = _compare(runs="c,a", metric="E2E")
    assert not app.exception
    assert app.multiselect[0].value == ["c", "a"]
    assert "**E2E\\: the tail" in _words(app)


def test_an_address_of_missing_and_damaged_runs_says_so(lab: Path) -> None:
    write_run(lab / "runs", "good", records(120))
    damage(lab / "runs", "broken")
    app = _compare(runs="good,broken,nowhere")
    assert not app.exception
    assert app.multiselect[0].value == ["good"]
    warnings = "\n".join(str(one.value) for one in app.warning)
    assert "nowhere" in warnings
    assert "cannot be read" in warnings


def test_only_damaged_runs_do_not_break_the_page(lab: Path) -> None:
    damage(lab / "runs", "broken")
    app = _compare()
    assert not app.exception
    words = _words(app)
    assert "No run yet" in words
    assert "broken: " in words


def test_records_lost_after_the_listing_are_an_error_on_the_page(lab: Path) -> None:
    write_run(lab / "runs", "a", records(120))
    write_run(lab / "runs", "b", records(120))
    (lab / "runs" / "b" / "requests.parquet").write_bytes(b"PAR1 and nothing else")
    app = _compare(runs="a,b")
    assert not app.exception
    assert any("requests" in str(one.value) for one in app.error)
    assert len(app.get("plotly_chart")) == 5


def test_an_unfinished_run_is_shown_and_says_so(lab: Path) -> None:
    writer = write_run(lab / "runs", "a", records(300), finish=False)
    app = _compare()
    assert not app.exception
    assert "still goes on" in _words(app)
    assert app.get("plotly_chart")
    writer.close()


def test_a_run_without_an_answer_yet_is_no_error(lab: Path) -> None:
    writer = write_run(lab / "runs", "a", [], finish=False)
    app = _compare()
    assert not app.exception
    assert "No request has been answered yet" in _words(app)
    writer.close()


@pytest.mark.parametrize("picked", [[], ["b"], ["b", "a"]])
def test_picking_runs_rewrites_the_address(lab: Path, picked: list[str]) -> None:
    for name in ("a", "b"):
        write_run(lab / "runs", name, records(120))
    app = _compare()
    app.multiselect[0].set_value(picked).run()
    assert not app.exception
    assert _asked(app) == ",".join(picked)


def test_hostile_names_are_text(lab: Path) -> None:
    write_run(lab / "runs", "a", records(300), name=HOSTILE, model=HOSTILE)
    write_run(lab / "runs", "b", records(300), settings={"prompt": HOSTILE})
    app = _compare(runs="a,b")
    assert not app.exception
    markdown = [str(one.value) for one in (*app.markdown, *app.caption)]
    for shown in [
        *markdown,
        *(one.proto.body.replace(early.script(), "") for one in app.get("html")),
    ]:
        assert "<script" not in shown
        assert "<img" not in shown
    assert not any("[x](http" in shown for shown in markdown)


def test_other_tools_definitions_are_shown_when_asked_for(lab: Path) -> None:
    write_run(lab / "runs", "only", records(300))
    app = _compare()
    assert "guidellm" not in _words(app)
    app.toggle(key="definitions").set_value(True).run()
    assert not app.exception
    assert "guidellm (TPOT)" in _words(app).replace("\\", "")
    shown = next(one.value for one in app.dataframe if "aiperf" in one.value.columns)
    assert shown.set_index("").loc["TTFT mean", "guidellm"] == "same"
    assert shown.set_index("").loc["TPOT mean", "guidellm"] != "same"
