"""A home of its own for every test that starts something; what it leaves is stopped."""

from pathlib import Path

import pytest

from servers import supervisor


@pytest.fixture
def lab_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path / "home"))
    yield tmp_path / "home"
    supervisor.down(say=lambda _: None)
