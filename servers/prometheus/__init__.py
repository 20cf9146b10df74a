"""Prometheus: a real one, scraping every instance and load test of this home each second."""

from servers import paths, probe
from servers.contract import Engine, Launch, Request, Say
from servers.locks import write_atomically
from servers.prometheus import binary, rules
from servers.prometheus.config import configuration
from servers.prometheus.knobs import KNOBS
from servers.prometheus.objectives import Objectives


def _prepare(request: Request, _say: Say) -> None:
    """Have the binary, and write its configuration and its rules."""
    # The catalogue imports this package.
    from servers.catalog import ENGINES

    binary.ensure()
    paths.targets().mkdir(parents=True, exist_ok=True)
    rule_file = request.workspace / "rules.yml"
    write_atomically(rule_file, rules.text(ENGINES.values(), Objectives.of(request.settings)))
    text = configuration(str(paths.targets()), str(rule_file))
    write_atomically(request.workspace / "prometheus.yml", text)


def _launch(request: Request) -> Launch:
    address = f"{request.host}:{request.ports['http']}"
    return Launch(
        argv=(
            str(binary.find() or "prometheus"),
            f"--config.file={request.workspace / 'prometheus.yml'}",
            f"--storage.tsdb.path={request.workspace / 'data'}",
            "--storage.tsdb.retention.time=15d",
            f"--web.listen-address={address}",
        ),
        env={},
        base_url=f"http://{address}",
        ready_url=f"http://{address}/-/ready",
        metrics_url=f"http://{address}/metrics",
        ready_timeout_s=60.0,
        stop_grace_s=10.0,
    )


def _version(base_url: str) -> str | None:
    document = probe.get_json(f"{base_url}/api/v1/status/buildinfo")
    try:
        return str(document["data"]["version"])
    except (KeyError, TypeError):
        return None


ENGINE = Engine(
    name="prometheus",
    title="Prometheus",
    summary="Keeps the metrics of every instance and load test, and watches the SLO in them.",
    ports={"http": 9090},
    launch=_launch,
    knobs=KNOBS,
    prepare=_prepare,
    version=_version,
    job="prometheus",
    notebooks=("09_monitoring",),
)
