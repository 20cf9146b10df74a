import json
import os
import urllib.parse
from pathlib import Path

import pytest
import yaml
from eventually import eventually

from servers import catalog, paths, probe, supervisor
from servers.errors import ServerError
from servers.prometheus import binary
from servers.prometheus.config import configuration


def quiet(_: str) -> None:
    pass


def test_configuration_scrapes_every_second_what_the_target_files_name(tmp_path):
    document = yaml.safe_load(configuration(str(tmp_path), "/lab/rules.yml"))
    assert document["global"]["scrape_interval"] == "1s"
    assert document["rule_files"] == ["/lab/rules.yml"]
    everything, exporter = document["scrape_configs"]
    for each in (everything, exporter):
        assert each["file_sd_configs"][0]["files"] == [str(tmp_path / "*.json")]
    assert (everything["honor_labels"], exporter["honor_labels"]) == (False, True)
    assert everything["relabel_configs"][0]["action"] == "drop"
    assert exporter["relabel_configs"][0]["action"] == "keep"


def test_the_users_own_program_wins(tmp_path, monkeypatch):
    program = tmp_path / "prometheus-3"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("SERVING_LAB_PROMETHEUS", str(program))
    assert binary.ensure() == program


def test_a_users_program_that_is_none_is_named(monkeypatch):
    monkeypatch.setenv("SERVING_LAB_PROMETHEUS", "/nowhere/prometheus")
    with pytest.raises(ServerError, match="/nowhere/prometheus, which is no program"):
        binary.ensure()


def test_where_it_cannot_be_had_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.delenv("SERVING_LAB_PROMETHEUS", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    with pytest.raises(ServerError, match=r"apt install prometheus.*SERVING_LAB_PROMETHEUS"):
        binary.ensure()


def test_a_package_that_cannot_be_fetched_leaves_nothing_and_says_why(tmp_path, monkeypatch):
    monkeypatch.delenv("SERVING_LAB_PROMETHEUS", raising=False)
    for name in ("apt-get", "dpkg"):
        script = tmp_path / name
        script.write_text("#!/bin/sh\necho 'E: no network' >&2\nexit 100\n")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(paths, "ROOT", tmp_path / "project")
    with pytest.raises(ServerError, match="E: no network"):
        binary.ensure()
    tools = tmp_path / "project" / ".lab" / "tools"
    assert [path.name for path in tools.iterdir()] == [".prometheus.lock"]


def test_an_unknown_engine_is_refused_with_the_known_ones():
    with pytest.raises(ServerError, match=r"no engine 'promethus'\. Did you mean prometheus"):
        catalog.find("promethus")
    with pytest.raises(ServerError, match=r"Known: .*exporter"):
        catalog.find("zzz")


@pytest.mark.engine
def test_a_real_prometheus_scrapes_the_exporter_and_targets_that_come_and_go(lab_home):
    prometheus = supervisor.up("prometheus", say=quiet)
    exporter = supervisor.up("exporter", say=quiet)
    assert prometheus.version and prometheus.version[0].isdigit()

    def query(expression: str) -> list[dict]:
        encoded = urllib.parse.quote(expression)
        answer = probe.get_json(f"{prometheus.base_url}/api/v1/query?query={encoded}")
        return answer["data"]["result"] if answer else []

    memory = 'lab_instance_memory_bytes{instance="prometheus",engine="prometheus",kind="rss"}'
    assert eventually(lambda: query(memory))
    assert float(query(memory)[0]["value"][1]) > 1e6
    assert query('up{instance="exporter",job="exporter"}')[0]["value"][1] == "1"
    client = paths.targets() / "run-1.json"
    address = exporter.base_url.removeprefix("http://")
    labels = {"job": "client", "instance": "run-1", "__metrics_path__": "/metrics"}
    client.write_text(json.dumps([{"targets": [address], "labels": labels}]))
    assert eventually(lambda: query('up{job="client",instance="run-1"} == 1'))
    client.unlink()
    assert eventually(lambda: not query('up{job="client",instance="run-1"}'))
    assert supervisor.down(say=quiet) == ["exporter", "prometheus"]


@pytest.mark.engine
@pytest.mark.skipif(not Path("/usr/bin/apt-get").exists(), reason="needs Debian's apt-get")
def test_the_systems_package_is_unpacked_without_root(tmp_path, monkeypatch):
    monkeypatch.delenv("SERVING_LAB_PROMETHEUS", raising=False)
    elsewhere = [
        p for p in os.environ["PATH"].split(os.pathsep) if not (Path(p) / "prometheus").exists()
    ]
    monkeypatch.setenv("PATH", os.pathsep.join(elsewhere))
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    assert (
        binary.ensure() == tmp_path / ".lab" / "tools" / "prometheus" / "usr" / "bin" / "prometheus"
    )
    assert os.access(binary.ensure(), os.X_OK)
