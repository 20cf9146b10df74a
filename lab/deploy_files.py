"""What deploy/ holds that is made of the catalogues: Grafana's dashboards, Prometheus' rules.

`make grafana` writes them; a test sees to it that what is committed is what they would be.
"""

from pathlib import Path

from dashboard.grafana import dashboards
from servers.catalog import ENGINES
from servers.knobs import complete
from servers.paths import ROOT
from servers.prometheus import rules
from servers.prometheus.config import configuration
from servers.prometheus.objectives import Objectives

FOLDER = ROOT / "deploy"


def files() -> dict[Path, str]:
    """Path below deploy/ to text."""
    found = {Path("grafana/dashboards") / name: text for name, text in dashboards().items()}
    asked = Objectives.of(complete(ENGINES["prometheus"], {}))
    inside = "/etc/prometheus"
    return found | {
        Path("prometheus/rules.yml"): rules.text(ENGINES.values(), asked),
        Path("prometheus/prometheus.yml"): configuration(
            f"{inside}/targets", f"{inside}/rules.yml"
        ),
    }


def main() -> None:
    """Write them all, and remove dashboards of engines that are no more."""
    wanted = files()
    for old in (FOLDER / "grafana" / "dashboards").glob("*.json"):
        if old.relative_to(FOLDER) not in wanted:
            old.unlink()
    for path, text in wanted.items():
        (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
        (FOLDER / path).write_text(text, encoding="utf-8")
    print(f"wrote {len(wanted)} files below deploy/")


if __name__ == "__main__":
    main()
