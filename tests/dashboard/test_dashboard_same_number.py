"""One run's number is the same number wherever it is shown."""

import io
import json
import re
from pathlib import Path

import pytest
from dashboard_runs import records, write_run
from rich.console import Console
from streamlit.testing.v1 import AppTest

from dashboard import units
from lab import reports
from measure.store import open_run

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")


def _page(name: str, **params: str) -> AppTest:
    app = AppTest.from_file(APP, default_timeout=60)
    app.query_params.update(params)
    app = app.switch_page(f"views/{name}.py").run()
    assert not app.exception
    return app


def _tiles(app: AppTest) -> dict[str, str]:
    """The tiles' words and numbers of the first run."""
    shown = next(str(one.proto.body) for one in app.get("html") if "TTFT" in str(one.proto.body))
    pairs = re.findall(r">([^<>]+)</div><div[^>]*>([^<>]+)</div></div>", shown)
    return dict(reversed(pairs))


@pytest.fixture
def summary(lab: Path) -> dict[str, dict[str, float]]:
    write_run(lab / "runs", "20260101-a", records(1500))
    write_run(lab / "runs", "20260102-b", records(1500, ttft_s=0.3, seed=2))
    found: dict[str, dict[str, float]] = json.loads(
        (lab / "runs" / "20260101-a" / "summary.json").read_text()
    )
    return found


def test_the_latencies_of_a_run_are_everywhere_those_of_its_summary(
    lab: Path, summary: dict[str, dict[str, float]]
) -> None:
    both = _page("compare", runs="20260101-a,20260102-b")
    alone = _page("compare", runs="20260101-a")
    tails = _page("tails", runs="20260101-a")
    listed = next(
        one.value for one in _page("runs").dataframe if "p99_ms" in one.value.columns
    ).set_index("run")
    said = io.StringIO()
    runs = [open_run(lab / "runs" / name) for name in ("20260101-a", "20260102-b")]
    reports.print_comparison(Console(file=said, width=200), runs)
    numbers = next(one.value for one in both.dataframe if "second ÷ first" in one.value.columns)
    numbers = numbers.set_index("")
    of_one = next(one.value for one in alone.dataframe if "count" in one.value.columns)
    of_one = of_one.set_index("")

    for quantity, title in (("ttft_s", "TTFT"), ("itl_s", "ITL")):
        for level in ("p50", "p99"):
            number = units.show(summary[quantity][level], "s")
            name = f"{title} {level}"
            assert _tiles(both)[name] == number
            assert _tiles(alone)[name] == number
            assert _tiles(tails)[name] == number
            assert numbers.loc[name].iloc[0].partition("  [")[0] == number
            assert of_one.loc[title, level].partition("  [")[0] == number
            in_terminal = re.search(rf"(?m)^{name} +(\S+ \S+)  ", said.getvalue())
            assert in_terminal is not None and in_terminal[1] == number
    for level in ("p50", "p99"):
        assert listed.loc["20260101-a", f"{level}_ms"] == 1e3 * summary["ttft_s"][level]


def test_an_interval_is_the_same_in_the_terminal_and_on_the_page(
    lab: Path, summary: dict[str, dict[str, dict[str, list[float]]]]
) -> None:
    low, high = summary["ttft_s"]["ci95"]["p99"]
    said = units.between(low, high, "s").removesuffix(" ms")
    both = _page("compare", runs="20260101-a,20260102-b")
    numbers = next(one.value for one in both.dataframe if "second ÷ first" in one.value.columns)
    assert numbers.set_index("").loc["TTFT p99"].iloc[0].endswith(f"[{said}]")
    out = io.StringIO()
    runs = [open_run(lab / "runs" / name) for name in ("20260101-a", "20260102-b")]
    reports.print_comparison(Console(file=out, width=200), runs)
    assert f"[{said}]" in out.getvalue()
