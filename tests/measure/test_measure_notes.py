"""Tags, note and archive of a run: kept beside it, whole or not at all."""

import json
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure import notes
from measure.errors import DamagedRunError, MeasureError
from measure.notes import Notes


def test_a_run_nobody_wrote_about_has_nothing(tmp_path: Path) -> None:
    assert notes.read(tmp_path) == Notes()


def test_a_change_keeps_what_it_does_not_name(tmp_path: Path) -> None:
    notes.change(tmp_path, tags=["baseline"], note="two\nlines")
    notes.change(tmp_path, add=["again", "baseline"])
    notes.change(tmp_path, archived=True)
    assert notes.read(tmp_path) == Notes(("baseline", "again"), "two\nlines", True)
    assert [file.name for file in tmp_path.iterdir()] == [notes.FILE]


def test_nothing_is_written_where_nothing_changes(tmp_path: Path) -> None:
    notes.change(tmp_path, note="  ")
    assert not (tmp_path / notes.FILE).exists()


@given(st.text())
def test_tags_are_trimmed_single_lines_without_commas(typed: str) -> None:
    found = notes.tags_in(typed)
    assert len(set(found)) == len(found)
    for tag in found:
        assert tag == tag.strip()
        assert tag
        assert not set(tag) & {",", "\n", "\r", "\x00", "\u202e"}


def test_words_that_are_anything_come_back_as_they_were(tmp_path: Path) -> None:
    words = "<script>alert(1)</script> **b** 😀 مرحبا"
    notes.change(tmp_path, tags=[words], note=words + "\n" + words)
    assert notes.read(tmp_path) == Notes((words,), words + "\n" + words)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"add": ["x" * 41]}, "at most 40"),
        ({"tags": [str(i) for i in range(21)]}, "at most 20 tags"),
        ({"note": "x" * 10_001}, "at most 10,000"),
    ],
)
def test_what_is_too_long_is_refused_and_changes_nothing(
    tmp_path: Path, given: dict, said: str
) -> None:
    notes.change(tmp_path, tags=["kept"])
    with pytest.raises(MeasureError, match=said):
        notes.change(tmp_path, **given)
    assert notes.read(tmp_path) == Notes(("kept",))


def test_a_run_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(MeasureError, match="no run gone"):
        notes.change(tmp_path / "gone", note="x")
    assert not (tmp_path / "gone").exists()


@pytest.mark.parametrize("content", ["[]", "{", '{"tags": "a"}', '{"tags": [1]}', '{"note": 3}'])
def test_a_damaged_file_is_named_and_never_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / notes.FILE).write_text(content)
    with pytest.raises(DamagedRunError, match=notes.FILE):
        notes.change(tmp_path, note="x")
    assert (tmp_path / notes.FILE).read_text() == content


def test_a_disk_that_is_full_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notes.change(tmp_path, note="before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("measure.files._write_text", full)
    with pytest.raises(MeasureError, match="No space left"):
        notes.change(tmp_path, note="after")
    assert notes.read(tmp_path) == Notes(note="before")
    assert [file.name for file in tmp_path.iterdir()] == [notes.FILE]


def test_many_who_tag_at_one_time_lose_no_tag(tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=notes.change, args=(tmp_path,), kwargs={"add": [f"t{i}"]})
        for i in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(notes.read(tmp_path).tags) == {f"t{i}" for i in range(8)}
    assert json.loads((tmp_path / notes.FILE).read_text())["archived"] is False
