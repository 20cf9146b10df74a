"""Words of a run that are values in its files: in the reader's language where a page shows them."""

from collections.abc import Mapping
from typing import Any

from dashboard.words import t
from servers import catalog


def own_title(manifest: Mapping[str, Any]) -> str:
    """What the engine of a run really was, where its name does not say it; else nothing."""
    facts = manifest["engine"]
    return catalog.own_title(str(facts.get("name") or ""), str(facts.get("title") or ""))


def engine(manifest: Mapping[str, Any]) -> str:
    """The engine of a run: by its name, or by what it really was where that is something else."""
    return own_title(manifest) or str(manifest["engine"].get("name") or "?")


def verdict(of_client: str) -> str:
    """The verdict on a client; its reasons are the run's own words."""
    known = {"valid": t("valid"), "suspect": t("suspect"), "invalid": t("invalid")}
    return known.get(of_client, of_client)


def state(of_run: str) -> str:
    """How far a run has come, as the list of runs has it."""
    known = {
        "finished": t("finished"),
        "running": t("running"),
        "unfinished": t("unfinished"),
        "damaged": t("damaged"),
    }
    return known.get(of_run, of_run)
