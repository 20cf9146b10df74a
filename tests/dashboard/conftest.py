from pathlib import Path

import pytest


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty lab: no instance, no run, and a Prometheus address where nothing listens."""
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SERVING_LAB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("SERVING_LAB_PROMETHEUS_URL", "http://127.0.0.1:9")
    return tmp_path
