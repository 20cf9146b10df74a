"""What `lab ps` shows stays whole, however much there is to show."""

import io

import pytest
from rich.console import Console

from lab import tables
from servers import instances
from servers.instances import Instance


@pytest.mark.parametrize("state", ["running", "unhealthy", "dead"])
def test_the_state_is_whole_beside_a_long_address(state, monkeypatch):
    ports = dict.fromkeys(("http", "management", "metrics", "grpc", "grpc_management"), 8000)
    instance = Instance(
        name="torchserve", engine="torchserve", pid=1, create_time=1.0, argv=(), ports=ports,
        host="127.0.0.1", base_url="http://127.0.0.1:8000/predictions", ready_url="",
        metrics_url=None, log="", settings={}, model=None, served_name="", device="cpu",
        protocols=(), job="engine", started_s=1.0, ready_timeout_s=1.0, stop_grace_s=1.0,
    )  # fmt: skip
    monkeypatch.setattr(instances, "status", lambda _: state)
    monkeypatch.setattr(instances, "members", lambda _: [])
    out = io.StringIO()
    Console(file=out, width=100).print(tables.instances_table([instance]))
    assert f" {state} " in out.getvalue()
