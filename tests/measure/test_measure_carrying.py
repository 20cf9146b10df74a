"""Run folders out of a lab and into one: as they were, or not at all."""

import io
import os
import stat
import string
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from measure import carrying, notes, run_folders
from measure.carrying import Limits, export_runs, import_runs, parts_of
from measure.errors import MeasureError, RunExistsError
from measure.store import RunWriter, list_runs, open_run


@pytest.fixture
def make_run(tmp_path: Path, make_manifest: Callable[..., Any], make_record: Callable[..., Any]):
    def make(name: str, root: Path = tmp_path / "runs", *, close: bool = True) -> RunWriter:
        writer = RunWriter.create(root / name, make_manifest(run_id=name))
        for i in range(20):
            writer.append(make_record(sent=float(i)))
        writer.flush()
        if close:
            writer.close()
        return writer

    return make


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "elsewhere"


def contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def zipped(files: dict[str, bytes]) -> io.BytesIO:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return target


def nothing_came(root: Path) -> bool:
    return not root.exists() or not any(root.iterdir())


def test_several_runs_go_out_and_come_in_as_they_were(make_run, runs, elsewhere, tmp_path) -> None:
    for name in ("a", "b"):
        make_run(name)
        (runs / name / "logs").mkdir()
        (runs / name / "logs" / "engine.log").write_text("ready\n")
    notes.change(runs / "a", tags=["kept"], note="slow")
    export_runs(runs, ["a", "b"], tmp_path / "out" / "two.zip")
    assert import_runs(tmp_path / "out" / "two.zip", elsewhere) == ["a", "b"]
    assert contents(elsewhere) == contents(runs)
    assert open_run(elsewhere / "a").records.num_rows == 20


def test_what_was_archived_is_shown_where_it_comes_in(make_run, runs, elsewhere) -> None:
    make_run("a")
    notes.change(runs / "a", archived=True)
    target = io.BytesIO()
    export_runs(runs, ["a"], target)
    import_runs(target, elsewhere)
    assert not notes.read(elsewhere / "a").archived


def test_the_files_of_one_run_come_in_under_its_name(make_run, runs, elsewhere) -> None:
    make_run("a")
    assert import_runs(zipped(contents(runs / "a")), elsewhere) == ["a"]
    assert [info.run_id for info in list_runs(elsewhere)] == ["a"]


def test_a_link_in_a_run_is_not_carried(make_run, runs, elsewhere, tmp_path) -> None:
    make_run("a")
    (tmp_path / "secret").write_text("secret")
    (runs / "a" / "logs").symlink_to(tmp_path)
    (runs / "a" / "extra.log").symlink_to(tmp_path / "secret")
    target = io.BytesIO()
    export_runs(runs, ["a"], target)
    assert not any(
        "secret" in name or "extra" in name for name in zipfile.ZipFile(target).namelist()
    )


def test_a_run_that_goes_on_is_neither_exported_nor_deleted(make_run, runs, tmp_path) -> None:
    writer = make_run("a", close=False)
    with pytest.raises(MeasureError, match="still goes on"):
        export_runs(runs, ["a"], tmp_path / "a.zip")
    with pytest.raises(MeasureError, match="still goes on"):
        run_folders.delete(runs, "a")
    writer.close()
    assert open_run(runs / "a").records.num_rows == 20
    assert not (tmp_path / "a.zip").exists()


def test_an_export_that_fails_leaves_no_file(make_run, runs, tmp_path, monkeypatch) -> None:
    make_run("a")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(carrying.shutil, "copyfileobj", full)
    with pytest.raises(MeasureError, match="No space left"):
        export_runs(runs, ["a"], tmp_path / "a.zip")
    assert not (tmp_path / "a.zip").exists()


def test_an_export_overwrites_nothing(make_run, runs, tmp_path) -> None:
    make_run("a")
    (tmp_path / "a.zip").write_text("mine")
    with pytest.raises(MeasureError, match="is there already"):
        export_runs(runs, ["a"], tmp_path / "a.zip")
    assert (tmp_path / "a.zip").read_text() == "mine"


def test_an_import_overwrites_no_run_and_then_adds_none(make_run, runs, elsewhere) -> None:
    make_run("a")
    make_run("b")
    make_run("b", root=elsewhere)
    before = contents(elsewhere)
    target = io.BytesIO()
    export_runs(runs, ["a", "b"], target)
    with pytest.raises(RunExistsError, match="b is in"):
        import_runs(target, elsewhere)
    assert contents(elsewhere) == before


@pytest.mark.parametrize("spoilt", ["manifest.json", "summary.json", "requests.parquet"])
def test_what_cannot_be_read_as_a_run_does_not_appear(make_run, runs, elsewhere, spoilt) -> None:
    make_run("a")
    files = {f"a/{name}": content for name, content in contents(runs / "a").items()}
    files[f"a/{spoilt}"] = b"PAR1 {"
    with pytest.raises(MeasureError, match=spoilt):
        import_runs(zipped(files), elsewhere)
    assert nothing_came(elsewhere)


@pytest.mark.parametrize(
    "name",
    [
        "../b",
        "/etc/b",
        "a/../../b",
        "a/./b",
        "C:/b",
        "a\\b",
        "a//b",
        "a/b\nc",
        "..",
        "a/" + "x" * 300,
    ],
)
def test_a_path_out_of_the_run_is_refused(make_run, runs, elsewhere, name) -> None:
    make_run("a")
    files = {f"a/{inner}": content for inner, content in contents(runs / "a").items()}
    with pytest.raises(MeasureError, match="not lie in the run's folder"):
        import_runs(zipped({**files, name: b"out"}), elsewhere)
    assert nothing_came(elsewhere)


@given(st.text(alphabet=string.printable + "é漢\u202e\x00", max_size=40))
@example("../../etc/passwd")
@example("a/../../b")
@example("C:\\windows")
def test_a_path_that_is_taken_stays_below_its_folder(name: str) -> None:
    try:
        parts = parts_of(name)
    except MeasureError:
        return
    path = PurePosixPath(*parts)
    assert not path.is_absolute()
    assert ".." not in path.parts
    assert path.parts == parts
    assert os.path.normpath(f"/runs/{path}") == f"/runs/{path}"


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(make_run, runs, elsewhere, kind) -> None:
    make_run("a")
    target = zipped({f"a/{name}": content for name, content in contents(runs / "a").items()})
    with zipfile.ZipFile(target, "a") as archive:
        link = zipfile.ZipInfo("a/logs")
        link.external_attr = (kind | 0o777) << 16
        archive.writestr(link, "/etc")
    with pytest.raises(MeasureError, match="a link or a device"):
        import_runs(target, elsewhere)
    assert nothing_came(elsewhere)


def test_a_zip_that_would_be_too_large_is_not_unpacked(make_run, runs, elsewhere) -> None:
    make_run("a")
    target = io.BytesIO()
    export_runs(runs, ["a"], target)
    with pytest.raises(MeasureError, match="would unpack to"):
        import_runs(target, elsewhere, Limits(size_bytes=100))
    with pytest.raises(MeasureError, match="at most 2 are imported"):
        import_runs(target, elsewhere, Limits(members=2))
    assert nothing_came(elsewhere)


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "no run in the zip"),
        ({"readme.txt": b"x"}, "is no run"),
        ({"a/summary.json": b"{}"}, "no manifest.json"),
        ({".a/manifest.json": b"{}"}, "is no run"),
        ({"a/manifest.json": b"{}", "a/manifest.json/x": b""}, "two files of one name"),
        ({"manifest.json": b"[1]"}, "is no run"),
        ({"manifest.json": b'{"run_id": "../x"}'}, "is no run"),
    ],
)
def test_a_zip_of_something_else_says_so(elsewhere, files, said) -> None:
    with pytest.raises(MeasureError, match=said):
        import_runs(zipped(files), elsewhere)
    assert nothing_came(elsewhere)


@given(st.binary(max_size=200), st.integers(0, 5000))
def test_a_damaged_zip_is_an_error_for_people(tmp_path_factory, noise: bytes, at: int) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    whole = bytearray(zipped({"a/manifest.json": b"{}" * 400, "a/logs/x": b"y" * 900}).getvalue())
    whole[at : at + len(noise)] = noise
    with pytest.raises(MeasureError):
        import_runs(io.BytesIO(bytes(whole)), elsewhere)
    assert nothing_came(elsewhere)


def test_what_another_system_adds_to_a_zip_is_left_out(make_run, runs, elsewhere) -> None:
    make_run("a")
    files = {f"a/{name}": content for name, content in contents(runs / "a").items()}
    import_runs(zipped({**files, "__MACOSX/a/._x": b"", "a/.DS_Store": b""}), elsewhere)
    assert contents(elsewhere / "a") == contents(runs / "a")


def test_a_deleted_run_is_gone_and_no_other(make_run, runs) -> None:
    make_run("a")
    make_run("b")
    run_folders.delete(runs, "a")
    assert [folder.name for folder in runs.iterdir()] == ["b"]


@pytest.mark.parametrize("name", ["..", ".", "", "../runs", "a/../b", "gone", "/", ".deleted-x"])
def test_only_a_run_of_the_folder_is_deleted(make_run, runs, name) -> None:
    make_run("b")
    with pytest.raises(MeasureError, match="There is no run"):
        run_folders.delete(runs, name)
    assert (runs / "b" / "manifest.json").exists()


def test_a_link_to_a_run_elsewhere_is_not_followed(make_run, runs, elsewhere) -> None:
    make_run("far", root=elsewhere)
    runs.mkdir()
    (runs / "near").symlink_to(elsewhere / "far")
    with pytest.raises(MeasureError, match="is a link to"):
        run_folders.delete(runs, "near")
    assert (elsewhere / "far" / "requests.parquet").exists()
    make_run("real")
    (runs / "real" / "out").symlink_to(elsewhere)
    run_folders.delete(runs, "real")
    assert (elsewhere / "far" / "requests.parquet").exists()


def test_a_run_that_cannot_be_renamed_stays_whole(make_run, runs, monkeypatch) -> None:
    make_run("a")

    def refused(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(MeasureError, match="Read-only file system"):
        run_folders.delete(runs, "a")
    assert open_run(runs / "a").records.num_rows == 20


def test_what_is_half_gone_or_half_come_is_no_run_and_is_swept(make_run, runs) -> None:
    make_run("a")
    (runs / "a").rename(runs / f"{run_folders.DELETED}1")
    assert list_runs(runs) == []
    with run_folders.place_to_import(runs) as under_way:
        run_folders.sweep(runs)
        assert list(runs.iterdir()) == [under_way]
    assert list(runs.iterdir()) == []
