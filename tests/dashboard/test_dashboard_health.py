"""What the Health page makes of Prometheus's own words."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from dashboard.health import checks, facts, metric_names, tables
from dashboard.health.facts import BadRule, Facts, Group, Server, Target
from dashboard.prometheus import Series
from measure.store import RunInfo
from servers.catalog import ENGINES
from servers.contract import Engine, Metric

APP = str(Path(__file__).resolve().parents[2] / "dashboard" / "app.py")
HOSTILE = "<b>x</b> **y** `z` :red[w]"
UP = Target("vllm", "engine", "vllm", "http://127.0.0.1:8000/metrics", True, "", 0.01, 0.5)
FULL = frozenset(metric_names.series_name(metric) for metric in ENGINES["vllm"].metrics)
WELL = Facts(
    Server("2.42.0", 1.7e9, "15d", True, 900, None),
    [UP],
    [Group("lab", 5, 0.001, 5.0, ())],
    {"vllm": FULL},
    {"vllm": FULL},
    {"vllm": "vllm"},
    0.001,
    0.002,
)


def _state(several: list[checks.Check], what: str) -> checks.Check:
    (found,) = (one for one in several if one.what == what)
    return found


def test_where_all_is_well_nothing_is_to_be_done() -> None:
    several = checks.of_prometheus(WELL)
    assert {one.state for one in several} == {"well"}
    assert {one.advice for one in several} == {""}


@pytest.mark.parametrize(
    ("what", "state", "words", "changed"),
    [
        ("Targets", "bad", "1 of 1", replace(WELL, targets=[replace(UP, up=False)])),
        ("Targets", "look", "none", replace(WELL, targets=[])),
        (
            "Age of the newest sample",
            "bad",
            "9 s",
            replace(WELL, targets=[replace(UP, age_s=9.0)]),
        ),
        ("Longest scrape", "look", "700 ms", replace(WELL, targets=[replace(UP, scrape_s=0.7)])),
        (
            "Metrics of the engines",
            "look",
            "vllm: 1",
            replace(WELL, names={"vllm": FULL - {"vllm:num_requests_running"}}),
        ),
        (
            "Rules",
            "bad",
            "1 cannot",
            replace(WELL, groups=[Group("lab", 5, 0.0, 5.0, (BadRule("lab", "a", "no"),))]),
        ),
        ("Rules", "look", "none", replace(WELL, groups=[])),
        ("Rules", "look", "longer", replace(WELL, groups=[Group("lab", 5, 6.0, 5.0, ())])),
        (
            "Configuration",
            "bad",
            "refused",
            replace(WELL, server=replace(WELL.server, configured=False)),
        ),
        ("Clock", "bad", "-4 s", replace(WELL, skew_s=-4.0)),
    ],
)
def test_what_is_not_well_says_so_and_what_to_do(
    what: str, state: str, words: str, changed: Facts
) -> None:
    found = _state(checks.of_prometheus(changed), what)
    assert found.state == state
    assert words in found.found
    assert found.advice


def test_a_clock_that_is_not_known_better_is_not_called_wrong() -> None:
    assert _state(checks.of_prometheus(replace(WELL, skew_s=2.0, skew_within_s=1.5)), "Clock").state == "well"  # fmt: skip


def test_targets_are_read_with_those_that_are_down_first() -> None:
    def one(health: str, error: str, last: str, **labels: str) -> dict[str, Any]:
        return {
            "labels": labels,
            "scrapeUrl": "http://x/metrics",
            "health": health,
            "lastError": error,
            "lastScrape": last,
            "lastScrapeDuration": 0.25,
        }

    at = "2026-11-23T09:33:10.783924236Z"
    data = {
        "activeTargets": [
            one("up", "", at, instance="a", job="engine", engine="vllm"),
            one("unknown", "", "0001-01-01T00:00:00Z", instance="b", job="engine"),
            one("down", "refused", at, instance="c", job="client"),
        ]
    }
    found = facts.targets(data, 1795426392.783924)
    assert [target.instance for target in found] == ["c", "b", "a"]
    assert found[0].error == "refused"
    assert found[1].error == "not yet scraped"
    assert found[1].age_s != found[1].age_s
    assert found[2].age_s == pytest.approx(2.0, abs=1e-3)


def test_one_target_is_one_and_several_are_several() -> None:
    def said(*up: bool) -> str:
        several = [Target("a", "engine", "vllm", "", one, "", 0.1, 1.0) for one in up]
        return _state(checks.of_prometheus(replace(WELL, targets=several)), "Targets").found

    assert said(True) == "1 answers" and said(True, True) == "all 2 answer"
    assert said(True, False) == "1 of 2 does not answer"
    assert said(False, False) == "2 of 2 do not answer"


def test_rules_that_fail_are_found_with_their_error() -> None:
    rule = {"name": "SloBurnsFast", "health": "err", "lastError": "many-to-many"}
    data = {"groups": [{"name": "g", "rules": [rule, {"name": "b", "health": "ok"}], "evaluationTime": 0.1, "interval": 5}]}  # fmt: skip
    (group,) = facts.groups(data)
    assert group.bad == (BadRule("g", "SloBurnsFast", "many-to-many"),)
    assert "many" in tables.rules([group]).to_string()


def test_names_are_told_apart_by_instance() -> None:
    counted = [
        Series({"__name__": name, "instance": instance, "engine": "vllm"}, (1.0,), (1.0,))
        for name, instance in (("a", "one"), ("b", "one"), ("a", "two"))
    ]
    names, engines = facts.names_now(counted)
    assert names == {"one": frozenset("ab"), "two": frozenset("a")}
    assert engines == {"one": "vllm", "two": "vllm"}


def _engine(*metrics: Metric) -> Engine:
    return replace(ENGINES["vllm"], metrics=metrics)


RUNNING = Metric("running", "x:requests_running", "gauge", "requests", "Running.")
TTFT = Metric("ttft", "x:time_to_first_token_seconds", "histogram", "s", "TTFT.")


def test_a_renamed_metric_is_missing_under_its_old_name_and_likely_under_its_new() -> None:
    engine = _engine(RUNNING, TTFT)
    now = {"x:requests_running", "x:time_to_first_tokens_seconds_bucket", "python_gc_total"}
    (one,) = metric_names.missing(engine, now, {"x:time_to_first_token_seconds_bucket"})
    assert one.metric is TTFT
    assert one.seen
    assert one.like == "x:time_to_first_tokens_seconds"
    assert metric_names.unknown(engine, now) == ["x:time_to_first_tokens_seconds"]


def test_one_of_several_metrics_of_a_concept_is_enough() -> None:
    other = Metric("running", "y_running", "gauge", "requests", "Running, in the image.")
    assert metric_names.missing(_engine(RUNNING, other), {"y_running"}) == []
    assert len(metric_names.missing(_engine(RUNNING, other), set())) == 2


def test_a_family_is_the_same_whatever_its_kind_appends() -> None:
    for name in ("a_seconds_bucket", "a_seconds_sum", "a_seconds_count", "a_seconds_created"):
        assert metric_names.base(name) == "a_seconds"
    assert metric_names.unknown(_engine(TTFT), {f"{TTFT.name}_sum", "up", "go_gc"}) == []


def test_runs_that_cannot_be_read_and_a_full_disk_are_named(tmp_path: Path) -> None:
    bad = RunInfo(tmp_path / HOSTILE, None, None, False, False, "no manifest")
    good = RunInfo(tmp_path / "good", {}, {}, True, False)
    several = checks.of_runs([bad, good], 5e8, "/runs")
    assert [one.state for one in several] == ["look", "bad"]
    assert "1 cannot be read" in several[0].found
    assert [one.state for one in checks.of_runs([good], 5e12, "/runs")] == ["well", "well"]
    assert "no manifest" in tables.damaged([bad, good]).to_string()
    cut = RunInfo(tmp_path / "cut", {}, None, False, False)
    assert checks.of_runs([good, cut], None, "/runs")[0].found.endswith("; 1 was cut off")
    assert checks.of_runs([cut, cut], None, "/runs")[0].found.endswith("; 2 were cut off")


def test_what_others_wrote_is_escaped_in_every_table() -> None:
    strange = replace(
        WELL,
        targets=[replace(UP, instance=HOSTILE, error=HOSTILE, up=False)],
        names={HOSTILE: frozenset()},
        earlier={},
        engines={HOSTILE: "vllm"},
        groups=[Group(HOSTILE, 1, 0, 5, (BadRule(HOSTILE, HOSTILE, HOSTILE),))],
    )
    several = checks.of_prometheus(strange)
    for frame in (
        tables.checks([replace(one, advice="") for one in several]),
        tables.targets(strange.targets, {}),
        tables.missing(strange),
        tables.rules(strange.groups),
    ):
        words = "\n".join(str(cell) for row in frame.to_numpy() for cell in row)
        assert "<b>" not in words.replace("\\<b", "")
        assert "**y**" not in words
        assert ":red[" not in words.replace("\\:red\\[", "")


def test_without_prometheus_the_page_still_knows_runs_and_versions(lab: Path) -> None:
    (lab / "runs" / "broken").mkdir(parents=True)
    (lab / "runs" / "broken" / "manifest.json").write_text("{")
    app = AppTest.from_file(APP, default_timeout=60).switch_page("views/health.py").run()
    assert not app.exception
    cells = "\n".join(table.value.to_string() for table in app.get("table"))
    assert "Prometheus does not answer" in cells
    assert "streamlit" in cells
    assert "broken" in cells
    assert "lab up prometheus" in "\n".join(one.value for one in app.code)
