"""The program for figures is asked for by the name it has in the installed Streamlit."""

from pathlib import Path

import pytest

from dashboard import early


def test_it_is_found_in_the_installed_streamlit() -> None:
    (file,) = early._SCRIPTS.glob("PlotlyChart.*.js")
    assert f'import(new URL("{file.name}"' in early.script()


def test_where_it_is_not_found_nothing_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(early, "_SCRIPTS", tmp_path)
    early.script.cache_clear()
    try:
        assert "<script" not in early.script()
    finally:
        early.script.cache_clear()
