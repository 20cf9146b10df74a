"""`--no-warmup` reaches the supervisor, and a run's manifest says whether its engine was warm."""

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from lab import cli, experiment, services
from measure.compare import compare
from measure.manifest import new_manifest
from measure.store import Run, RunWriter, open_run
from measure.verdict import ClientStats
from servers import supervisor
from servers.catalog import ENGINES
from servers.instances import Instance, WarmKind, WarmUp

COLD = Instance(
    name="r", engine="reference", pid=1, create_time=1.0, argv=(), ports={"http": 1}, host="h",
    base_url="http://h:1", ready_url="", metrics_url=None, log="", settings={}, model=None,
    served_name="r", device="cpu", protocols=(), job="engine", started_s=1.0, ready_timeout_s=1.0,
    stop_grace_s=1.0, ready_s=2.5,
)  # fmt: skip
WARM = replace(COLD, warmup=WarmUp(6, 0.5, True, (WarmKind("/a", (0.4, 0.1)),)))


@pytest.mark.parametrize("command", ["up", "run"])
@pytest.mark.parametrize(("flags", "warm"), [((), True), (("--no-warmup",), False)])
def test_an_engine_is_warmed_up_unless_the_command_says_no(
    command, flags, warm, tmp_path, monkeypatch
):
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path))
    asked = {}

    def up(*_, **arguments):
        asked.update(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(supervisor, "up", up)
    CliRunner().invoke(cli.app, [command, "reference", *flags])
    assert asked["warm"] is warm


def manifest_facts(instance: Instance) -> dict:
    return json.loads(json.dumps(experiment.engine_facts(ENGINES["reference"], instance)))


def test_the_manifest_tells_cold_start_and_warm_up(tmp_path, monkeypatch):
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path))
    assert {key: manifest_facts(COLD)[key] for key in ("ready_s", "warm", "warmup")} == {
        "ready_s": 2.5,
        "warm": False,
        "warmup": None,
    }
    warm = manifest_facts(WARM)
    assert warm["warm"] is True
    assert warm["warmup"] == {
        "requests": 6,
        "took_s": 0.5,
        "settled": True,
        "kinds": [{"path": "/a", "latencies_s": [0.4, 0.1]}],
    }


def test_of_two_runs_it_is_shown_whether_the_engine_was_warm_and_not_what_each_request_took(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path))
    slower = replace(WARM, ready_s=9.0, warmup=WarmUp(8, 0.9, False, ()))
    runs = {
        name: run(tmp_path / name, one) for name, one in (("w", WARM), ("s", slower), ("c", COLD))
    }
    assert [one.name for one in compare([runs["w"], runs["s"]]).settings] == []
    assert [one.name for one in compare([runs["w"], runs["c"]]).settings] == ["engine.warm"]


def run(folder, instance: Instance) -> Run:
    load = {
        "scenario": "chat",
        "protocol": "p",
        "host": "h",
        "arrival": {"kind": "closed", "users": 1},
    }
    manifest = new_manifest(
        run_id=folder.name, epoch_s=0.0, load=load, engine=manifest_facts(instance)
    )
    RunWriter.create(folder, manifest).close(ClientStats(cpu_s=0.1, wall_s=1.0, max_in_flight=1))
    return open_run(folder)


def test_services_have_nothing_to_warm():
    assert [name for name in services.SERVICES if services.find(name).warm_requests] == []
