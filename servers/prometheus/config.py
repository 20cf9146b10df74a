"""Prometheus' configuration: one file that holds for 2.42 and for 3.x. Pure."""

import yaml


def configuration(targets: str, rule_file: str) -> str:
    """The text of `prometheus.yml`: scrape what the `file_sd` files of `targets` name, each second.

    `rule_file` holds the rules (`servers.prometheus.rules`).

    Labels of our own (`engine`, `instance`, `job`) win over an engine's of the same name,
    which become `exported_…` (vLLM has an `engine="0"`); from the exporter, which speaks
    about other instances, its own win.
    """
    files = [{"files": [f"{targets}/*.json"], "refresh_interval": "5s"}]

    def scrape(name: str, action: str, *, honor_labels: bool) -> dict[str, object]:
        # A file_sd target's own `job` label replaces job_name.
        return {
            "job_name": name,
            "honor_labels": honor_labels,
            "file_sd_configs": files,
            "relabel_configs": [
                {"source_labels": ["job"], "regex": "exporter", "action": action},
            ],
        }

    document = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [rule_file],
        "scrape_configs": [
            scrape("lab", "drop", honor_labels=False),
            scrape("lab-exporter", "keep", honor_labels=True),
        ],
    }
    return yaml.safe_dump(document, sort_keys=False)
