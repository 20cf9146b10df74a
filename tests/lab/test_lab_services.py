"""What the lab starts beside the engines."""

import pytest

from lab import services
from servers import instances, supervisor


@pytest.mark.engine
def test_a_prometheus_with_objectives_of_its_own_is_left_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path))
    said = []
    try:
        chosen = supervisor.up("prometheus", settings={"slo_ttft_ms": 250.0}, say=said.append)
        watched = services.watch(said.append)
        assert watched.pid == chosen.pid
        assert watched.settings["slo_ttft_ms"] == 250.0
        exporter = instances.load(services.EXPORTER)
        assert exporter is not None
        assert instances.alive(exporter)
    finally:
        supervisor.down(say=said.append)
