"""What deploy/ holds for Docker: Grafana's dashboards, Prometheus' rules, the compose file."""

import json
import re
import time
from collections.abc import Iterator
from itertools import combinations
from typing import Any, get_args

import pytest
import yaml
from compose_spec import PyCompose
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboard import panels, prometheus, promql
from dashboard.grafana import boards
from dashboard.prometheus import Failure
from dashboard.sources import MODEL_SERVERS
from dashboard.units import Unit
from lab import deploy_files
from servers import supervisor
from servers.catalog import ENGINES

FILES = deploy_files.files()
BOARDS = {path.stem: json.loads(text) for path, text in FILES.items() if path.suffix == ".json"}
FILLED = {
    "$__rate_interval": "5s",
    "$instance": "a|b",
    "$gpu": "GPU-1",
    "$quantile": "0.99",
}


def drawn(board: dict[str, Any]) -> list[dict[str, Any]]:
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions() -> dict[str, str]:
    """Each expression of each dashboard, with the variables filled in."""
    found = {}
    for name, board in BOARDS.items():
        for panel in drawn(board):
            for target in panel["targets"]:
                text = target["expr"]
                for variable, value in FILLED.items():
                    text = text.replace(variable, value)
                found[f"{name}: {panel['title']} {target['refId']}"] = text
    return found


def test_what_is_committed_is_what_the_catalogues_give():
    kept = {
        path.relative_to(deploy_files.FOLDER): path.read_text()
        for folder in ("grafana/dashboards", "prometheus")
        for path in (deploy_files.FOLDER / folder).iterdir()
    }
    different = sorted(str(p) for p in FILES.keys() | kept.keys() if FILES.get(p) != kept.get(p))
    assert different == [], "run `make grafana`"


def test_every_engine_has_a_dashboard_and_every_panel_is_on_one():
    assert set(BOARDS) == {
        "lab-overview",
        "lab-load",
        "lab-machine",
        *(f"lab-{name}" for name in MODEL_SERVERS),
    }
    titles = {panel["title"] for board in BOARDS.values() for panel in drawn(board)}
    exported = {
        one.title
        for one in panels.PANELS
        if any(panels.queries(one, panels.metrics_of(one, kind), {}, 5) for kind in ENGINES)
    }
    assert exported <= titles


@pytest.mark.parametrize("name", BOARDS)
def test_grafanas_own_model_reads_the_dashboard_and_writes_the_same(name):
    read = Dashboard.from_json(BOARDS[name])
    assert json.loads(JSONEncoder().encode(read)) == BOARDS[name]
    assert read.uid == name
    assert read.title is not None
    assert read.title.startswith("Serving Lab: ")


@pytest.mark.parametrize("name", BOARDS)
def test_panels_are_beside_each_other_and_ask_the_chosen_source(name):
    def cells(panel: dict[str, Any]) -> set[tuple[int, int]]:
        at = panel["gridPos"]
        return {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}

    every = BOARDS[name]["panels"]
    assert not [1 for one, other in combinations(every, 2) if cells(one) & cells(other)]
    assert max(x for panel in every for x, _ in cells(panel)) < 24
    for panel in drawn(BOARDS[name]):
        assert panel["datasource"]["uid"] == "${datasource}"
        assert panel["description"]
        assert panel["targets"]
        for target in panel["targets"]:
            assert "STANDIN" not in target["expr"]
            assert "987654321" not in target["expr"]


@pytest.mark.parametrize("name", ["lab-overview", *(f"lab-{one}" for one in MODEL_SERVERS)])
def test_a_dashboard_of_engines_says_first_what_really_runs(name):
    """A stand-in's metrics are named as its engine's: only its title tells them apart."""
    (target,) = drawn(BOARDS[name])[0]["targets"]
    assert target["legendFormat"] == "{{instance}}: {{title}}"
    assert target["expr"].startswith("max by (instance, title) (up{")


def test_a_quantile_says_that_grafana_interpolates_it():
    found = 0
    for board in BOARDS.values():
        for panel in drawn(board):
            read_off = any("histogram_quantile" in one["expr"] for one in panel["targets"])
            assert ("interpolated" in panel["description"]) >= read_off
            found += read_off
    assert found > 10


def test_a_histogram_in_milliseconds_is_shown_in_seconds_or_says_so():
    texts = [one for one in expressions().values() if "ray_serve_http_request_latency_ms" in one]
    assert any(one.startswith("(histogram_quantile(0.99") and "* 0.001" in one for one in texts)
    assert set(boards.UNITS) == set(get_args(Unit))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERVING_LAB_HOME", str(tmp_path_factory.mktemp("home")))
        instance = supervisor.up("prometheus", say=lambda _: None)
        try:
            yield instance.base_url
        finally:
            supervisor.down(say=lambda _: None)


@pytest.mark.engine
def test_a_real_prometheus_takes_every_expression(server):
    span = promql.Span.ending(time.time(), 60)
    found = expressions()
    assert len(found) > 150
    refused = {
        name: answer.message
        for name, text in found.items()
        if isinstance(answer := prometheus.query_range(server, text, span), Failure)
    }
    assert refused == {}
    assert isinstance(prometheus.query_range(server, "sum by (", span), Failure)


def strictly_read(text: str) -> None:
    """By the compose specification; variables take their defaults. Raises `ValueError`."""
    compose = PyCompose.from_yaml(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    compose.validate()


def test_the_compose_file_is_one_by_its_specification_and_listens_here_only():
    text = (deploy_files.FOLDER / "compose.yaml").read_text()
    strictly_read(text)
    wrong = (("restart:", "restrat:"), ("unless-stopped", "perhaps"))
    for right, other in wrong:
        with pytest.raises(ValueError, match=r"restrat|perhaps"):
            strictly_read(text.replace(right, other))
    services = yaml.safe_load(text)["services"]
    assert set(services) == {"prometheus", "grafana"}
    for service in services.values():
        assert re.fullmatch(r"[a-z]+/[a-z]+:v?\d+\.\d+\.\d+", service["image"])
        assert service["network_mode"] == "host"
        assert "ports" not in service
        for volume in service["volumes"]:
            outside = volume.split(":")[0]
            if outside.startswith("./"):
                assert (deploy_files.FOLDER / outside).exists(), volume
            elif not outside.startswith("$"):
                assert outside in yaml.safe_load(text)["volumes"]
    (listens,) = (w for w in services["prometheus"]["command"] if "listen-address" in w)
    assert listens.endswith("=127.0.0.1:9190")
    assert services["grafana"]["environment"]["GF_SERVER_HTTP_ADDR"] == "127.0.0.1"


def test_grafana_is_told_where_prometheus_and_the_dashboards_are():
    folder = deploy_files.FOLDER / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://127.0.0.1:9190"
    (provider,) = yaml.safe_load((folder / "dashboards" / "serving-lab.yml").read_text())[
        "providers"
    ]
    mounted = yaml.safe_load((deploy_files.FOLDER / "compose.yaml").read_text())["services"][
        "grafana"
    ]["volumes"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in mounted
