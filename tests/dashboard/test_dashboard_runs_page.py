"""The Runs page, run by Streamlit without a browser."""

import io
import os
import shutil
from pathlib import Path

import pytest
from dashboard_runs import HOSTILE, damage, records, write_run
from streamlit.testing.v1 import AppTest

from dashboard.store import acts
from dashboard.store.settings import Settings, in_words
from measure import carrying, notes
from measure.store import list_runs
from servers.catalog import ENGINES

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")
PATIENCE_S = 60


def opened(picked: tuple[str, ...] = (), **params: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=PATIENCE_S)
    app.query_params.update(params)
    if picked:
        app.query_params["picked"] = ",".join(picked)
    app.switch_page("views/runs.py").run()
    assert not app.exception
    return app


def press(app: AppTest, key: str) -> AppTest:
    app.button(key=key).click().run()
    assert not app.exception
    return app


def said(app: AppTest) -> str:
    kinds = ("success", "error", "info", "markdown", "caption", "text", "code", "subheader")
    return "\n".join(str(one.value) for kind in kinds for one in app.get(kind))


def names(app: AppTest) -> list[str]:
    return list(app.dataframe[0].value["run"]) if app.dataframe else []


@pytest.fixture
def runs(lab: Path) -> Path:
    for name in ("20260101-a", "20260102-b", "20260103-c"):
        write_run(lab / "runs", name, records(120))
    return lab / "runs"


def test_without_runs_the_page_says_how_to_make_and_import_some(lab: Path) -> None:
    app = opened()
    assert "No run yet" in said(app)
    assert "lab run" in app.code[0].value
    assert app.file_uploader


def test_every_run_is_listed_newest_first_with_its_headline(runs: Path) -> None:
    writer = write_run(runs, "20260104-d", records(50), finish=False)
    damage(runs, "broken")
    app = opened()
    table = app.dataframe[0].value.set_index("run")
    assert list(table.index) == ["broken", "20260104-d", "20260103-c", "20260102-b", "20260101-a"]
    assert list(table["state"]) == ["damaged", "running", "finished", "finished", "finished"]
    summary = next(info.summary for info in list_runs(runs) if info.run_id == "20260101-a")
    row = table.loc["20260101-a"]
    assert row["latency"] == "TTFT"
    assert row["p50_ms"] == pytest.approx(1e3 * summary["ttft_s"]["p50"])
    assert row["tokens_per_s"] == summary["output_tokens_per_s"]
    assert row["verdict"] == summary["client"]["verdict"]
    assert "cannot be read" in said(app)
    writer.close()


def test_the_rows_of_a_sweep_are_told_apart_by_settings_and_failures(runs: Path) -> None:
    for nth, seqs in enumerate((1, 2, 16)):
        load = {"kind": "poisson", "rate_rps": 4.0}
        settings = {"max_model_len": 256, "max_num_seqs": seqs, "dtype": HOSTILE}
        write_run(runs, f"sweep-{nth}", records(200), arrival=load, settings=settings)
    app = opened(q="sweep-")
    frame = app.dataframe[0].value.set_index("run")
    words = list(frame["settings"].sort_index())
    assert [one.split(", ")[0] for one in words] == [f"max_num_seqs={n}" for n in (1, 2, 16)]
    assert all(", max_model_len=256" in one for one in words)
    summaries = {one.run_id: one.summary for one in list_runs(runs)}
    for name, count in frame["failed"].items():
        assert count == summaries[name]["requests"]["failed"] > 0


def test_a_knob_that_differs_is_named_at_its_default_too_and_one_that_does_not_is_not() -> None:
    knobs = {knob.name: knob.default for knob in ENGINES["vllm"].knobs}
    several = [
        Settings("vllm", knobs),
        Settings("vllm", knobs | {"max_num_seqs": 1}),
        Settings("vllm", knobs | {"max_model_len": 99}, ("other",)),
        Settings("gone", {"a": [1, 2], "b": None, "c": True}),
        Settings("", {}),
    ]
    assert in_words(several) == [
        f"max_num_seqs={knobs['max_num_seqs']}",
        "max_num_seqs=1",
        "max_model_len=99",
        "a=1,2, b=default, c=true",
        "",
    ]
    assert in_words([Settings("vllm", knobs)]) == [""]


def test_the_search_looks_into_settings_tags_and_notes_and_is_in_the_address(runs: Path) -> None:
    write_run(runs, "20260105-e", records(60), settings={"max_num_seqs": 3}, engine="tgi")
    notes.change(runs / "20260101-a", tags=["Baseline"], note="the quiet machine")
    assert names(opened(q="max_num_seqs=3")) == ["20260105-e"]
    assert names(opened(q="QUIET baseline")) == ["20260101-a"]
    app = opened(q="nothing of that kind")
    assert names(app) == []
    assert "No run matches" in said(app)
    app = opened()
    app.text_input(key="q").set_value("quiet").run()
    assert names(app) == ["20260101-a"]


def test_the_filters_are_in_the_address(runs: Path) -> None:
    write_run(runs, "20260105-e", records(60), engine="tgi")
    notes.change(runs / "20260102-b", tags=["one", "two"])
    assert names(opened(engine="tgi")) == ["20260105-e"]
    assert names(opened(tag="two")) == ["20260102-b"]
    app = opened(verdict="invalid")
    verdicts = dict(zip(names(opened()), opened().dataframe[0].value["verdict"], strict=True))
    assert names(app) == [name for name, verdict in verdicts.items() if verdict == "invalid"]
    assert 0 < len(names(app)) < 4


def test_tags_and_note_of_one_run_are_kept_beside_it(runs: Path) -> None:
    app = opened(("20260102-b",))
    tags = next(one for one in app.text_input if one.key.startswith("tags-"))
    tags.set_value("slow, again")
    app.text_area[0].set_value(HOSTILE)
    next(one for one in app.button if one.label == "Keep").click().run()
    assert not app.exception
    assert notes.read(runs / "20260102-b") == notes.Notes(("slow", "again"), HOSTILE)
    assert "Kept for" in said(app)
    table = app.dataframe[0].value.set_index("run")
    assert list(table.loc["20260102-b", "tags"]) == ["slow", "again"]


def test_what_two_tabs_write_about_one_run_is_all_kept(runs: Path) -> None:
    folder = runs / "20260102-b"
    before = notes.change(folder, tags=["old", "gone"], note="first")
    acts.describe(runs, folder.name, "old, gone, mine", "first and mine", before)
    acts.describe(runs, folder.name, "old, yours", "first", before)
    assert notes.read(folder).tags == ("old", "mine", "yours")
    assert notes.read(folder).note == "first and mine"
    acts.describe(runs, folder.name, "old, gone", "yours", before)
    assert notes.read(folder).note == "first and mine\n\nyours"
    alone = notes.read(folder)
    acts.describe(runs, folder.name, "yours", "", alone)
    assert notes.read(folder) == notes.Notes(("yours",), "", False)


def test_several_runs_are_tagged_at_once_and_keep_what_they_have(runs: Path) -> None:
    notes.change(runs / "20260101-a", tags=["old"], note="kept")
    app = opened(("20260101-a", "20260102-b"))
    app.text_input(key="tags-added").set_value("pair")
    next(one for one in app.button if one.label == "Add").click().run()
    assert notes.read(runs / "20260101-a") == notes.Notes(("old", "pair"), "kept")
    assert notes.read(runs / "20260102-b").tags == ("pair",)


def test_a_tag_that_is_too_long_is_refused_with_a_reason(runs: Path) -> None:
    app = opened(("20260102-b",))
    next(one for one in app.text_input if one.key.startswith("tags-")).set_value("x" * 41)
    next(one for one in app.button if one.label == "Keep").click().run()
    assert "at most 40" in said(app)
    assert notes.read(runs / "20260102-b") == notes.Notes()


def test_an_archived_run_is_out_of_the_list_and_comes_back(runs: Path) -> None:
    app = press(opened(("20260102-b",)), "archive")
    assert names(app) == ["20260103-c", "20260101-a"]
    assert (runs / "20260102-b" / "requests.parquet").exists()
    app = opened(("20260102-b",), archived="true")
    assert "20260102-b" in names(app)
    app = press(app, "archive")
    assert "Back in the list" in said(app)
    assert len(names(opened())) == 3


def test_delete_names_the_runs_and_takes_a_second_step(runs: Path) -> None:
    app = opened(("20260101-a", "20260103-c"))
    assert app.button(key="delete").disabled
    assert "20260101\\-a" in said(app)
    app.checkbox[0].check().run()
    app = press(app, "delete")
    assert [folder.name for folder in runs.iterdir()] == ["20260102-b"]
    assert names(app) == ["20260102-b"]
    assert "Deleted" in said(app)
    assert not app.checkbox


def test_one_run_is_one_run_and_several_are_several(runs: Path) -> None:
    several = said(opened(("20260101-a", "20260103-c")))
    assert "These 2 runs and their" in several and "3 of 3 runs, 0 archived" in several
    for name in ("20260101-a", "20260103-c"):
        shutil.rmtree(runs / name)
    one = said(opened(("20260102-b",)))
    assert "This run and its" in one and "1 of 1 run, 0 archived" in one


def test_a_run_that_goes_on_is_not_deleted(runs: Path) -> None:
    writer = write_run(runs, "20260104-d", records(50), finish=False)
    app = opened(("20260104-d",))
    app.checkbox[0].check().run()
    app = press(app, "delete")
    assert "still goes on" in said(app)
    assert "20260104-d" in names(app)
    assert "is not exported" in said(app)
    writer.close()


def test_a_run_that_vanished_under_the_page_is_named(runs: Path, tmp_path: Path) -> None:
    app = opened(("20260102-b",))
    (runs / "20260102-b").rename(tmp_path / "taken")
    app = press(app, "archive")
    assert "There is no run 20260102\\-b" in said(app)
    assert names(app) == ["20260103-c", "20260101-a"]


def test_a_folder_that_cannot_be_written_is_said(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("measure.files._write_text", refused)
    app = press(opened(("20260102-b",)), "archive")
    assert "Read\\-only file system" in said(app)
    assert len(names(app)) == 3


def test_a_zip_of_runs_comes_in_and_a_bad_one_says_why(runs: Path, tmp_path: Path) -> None:
    target = io.BytesIO()
    carrying.export_runs(runs, ["20260101-a"], target)
    app = opened()
    app.file_uploader[0].set_value(("one.zip", target.getvalue(), "application/zip")).run()
    app = press(app, "import-now")
    assert "overwrites nothing" in said(app)
    (runs / "20260101-a").rename(tmp_path / "elsewhere")
    app = press(app, "import-now")
    assert "Imported" in said(app)
    assert len(names(app)) == 3
    app.file_uploader[0].set_value(("bad.zip", b"PK no", "application/zip")).run()
    assert "no zip file" in said(press(app, "import-now"))


def test_picked_runs_are_compared(runs: Path) -> None:
    app = opened(("20260103-c", "20260101-a"))
    app.button(key="to-compare").click().run()
    assert not app.exception
    assert app.multiselect(key="chosen_runs").value == ["20260101-a", "20260103-c"]


def test_hostile_text_is_text(runs: Path) -> None:
    write_run(runs, "20260109-h", records(60), name=HOSTILE, model=HOSTILE, title=HOSTILE)
    notes.change(runs / "20260109-h", tags=["<b>x</b>", "\u202etxet"], note=HOSTILE)
    app = opened(("20260109-h",))
    markdown = [str(one.value) for kind in ("markdown", "caption") for one in app.get(kind)]
    assert not any("<script" in shown or "[x](http" in shown for shown in markdown)
    assert HOSTILE in [one.value for one in app.text]
    assert "\u202e" not in "".join(map(str, app.dataframe[0].value.to_numpy().ravel()))


def test_a_folder_whose_name_is_no_text_is_listed_as_damaged_and_can_go(runs: Path) -> None:
    bad = Path(os.fsdecode(os.fsencode(runs) + b"/bad-\xff"))
    shutil.copytree(runs / "20260101-a", bad)
    app = opened()
    table = app.dataframe[0].value.set_index("run")
    assert table.loc["bad-\ufffd", "state"] == "damaged"
    assert "Rename it" in said(app)
    for page in ("compare", "tails", "batching", "memory", "slo"):
        assert not app.switch_page(f"views/{page}.py").run().exception
    app = opened()
    app.session_state["picked_runs"] = [bad.name]
    assert not app.run().exception


def test_files_of_the_right_names_and_wrong_values_are_a_damaged_run(runs: Path) -> None:
    file = runs / "20260102-b" / "summary.json"
    text = file.read_text().replace('"requests": {', '"requests": 7, "was": {', 1)
    file.write_text(text)
    app = opened()
    table = app.dataframe[0].value.set_index("run")
    assert table.loc["20260102-b", "state"] == "damaged"
