from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servers import sockets
from servers.errors import ServerError


@given(st.text("abcdef/", min_size=1, max_size=200), st.integers(1, 60))
def test_a_socket_s_path_always_fits_and_the_workspace_is_taken_where_it_does(path, name_bytes):
    workspace = Path("/" + path)
    folder = sockets.folder(workspace, name_bytes)
    assert len(bytes(folder / ("s" * name_bytes))) <= sockets.PATH_BYTES
    inside = len(bytes(workspace / "tmp" / ("s" * name_bytes))) <= sockets.PATH_BYTES
    assert (folder == workspace / "tmp") == inside
    assert (sockets.cleanup(workspace, name_bytes) is None) == inside


def test_two_workspaces_have_two_folders(tmp_path):
    deep = tmp_path / ("deep" * 40)
    assert sockets.folder(deep / "a", 20) != sockets.folder(deep / "b", 20)


def test_what_the_last_start_left_is_gone_and_nobody_else_may_look(tmp_path, monkeypatch):
    monkeypatch.setattr(sockets.tempfile, "gettempdir", lambda: str(tmp_path))
    workspace = tmp_path / ("deep" * 40)
    sockets.make(workspace, 20)
    folder = sockets.folder(workspace, 20)
    (folder / "old").write_text("")
    sockets.make(workspace, 20)
    assert list(folder.iterdir()) == []
    assert folder.stat().st_mode & 0o077 == 0


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sockets.tempfile, "gettempdir", lambda: str(tmp_path))
    workspace = tmp_path / ("deep" * 40)
    folder = sockets.folder(workspace, 20)
    folder.write_text("somebody's file")
    with pytest.raises(ServerError, match=f"{folder.name}.*SERVING_LAB_HOME"):
        sockets.make(workspace, 20)
