"""A stand-in is named as what it is on every page that shows its numbers."""

from pathlib import Path

import pytest
from dashboard_runs import records, write_run
from streamlit.testing.v1 import AppTest
from test_dashboard_memory import PROCESS, series

from measure import server_metrics

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")
TITLE = "TGI-compatible (transformers)"


@pytest.fixture
def runs(lab: Path) -> Path:
    """Two loads of one stand-in."""
    for name, users in (("a", 4), ("b", 8)):
        arrival = {"kind": "closed", "users": users}
        write_run(lab / "runs", name, records(200), engine="tgi", title=TITLE, arrival=arrival)
        server_metrics.write(lab / "runs" / name, series(PROCESS))
    return lab / "runs"


def shown(app: AppTest) -> str:
    """All that the page drew: texts, tables, figures, choices."""
    return "\n".join(str(one.proto) for one in app.main)


@pytest.mark.parametrize(
    ("page", "params"),
    [
        ("tails", {"runs": "a,b"}),
        ("batching", {}),
        ("memory", {"of": "runs", "runs": "a,b"}),
        ("compare", {"runs": "a,b"}),
        ("slo", {"runs": "a,b"}),
        ("runs", {}),
    ],
)
def test_it_is_named_on_every_page_of_runs(runs: Path, page: str, params: dict[str, str]) -> None:
    app = AppTest.from_file(APP, default_timeout=60)
    app.query_params.update(params)
    app = app.switch_page(f"views/{page}.py").run()
    assert not app.exception
    assert TITLE in shown(app)
