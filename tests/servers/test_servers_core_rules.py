"""The rules of Prometheus, by promtool's own unit tests, and against what the engines export."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from eventually import eventually
from hypothesis import given
from hypothesis import strategies as st

from measure import client_metrics, verdict
from servers import knobs, paths, probe, supervisor
from servers.catalog import ENGINES
from servers.contract import Metric
from servers.middleware import BUCKETS_S
from servers.prometheus import binary, objectives, rules
from servers.prometheus.config import configuration
from servers.prometheus.objectives import BURNS, Objectives

ROOT = Path(__file__).resolve().parents[2]
UNIT_TESTS = Path(__file__).parent / "rules"
RECORDED = sorted((ROOT / "tests" / "recorded" / "metrics").glob("*.txt"))
BOUND = re.compile(r" ([0-9.e+-]+)=")
ASKED = Objectives(ttft_s=0.5, e2e_s=0.2, share=0.99, windows="lab")


def quiet(_: str) -> None:
    pass


def promtool(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    binary.ensure()
    tool = binary.promtool()
    if tool is None:
        pytest.skip("this Prometheus came without promtool (Debian 13 has a package of its own)")
    return subprocess.run([tool, *words], cwd=folder, capture_output=True, text=True)


def unit_tested(folder: Path, text: str, name: str) -> bool:
    """Whether promtool's unit tests of that name hold for these rules."""
    (folder / "rules.yml").write_text(text)
    shutil.copy(UNIT_TESTS / f"{name}.yml", folder)
    tested = promtool(folder, "test", "rules", f"{name}.yml")
    print(tested.stdout, tested.stderr)
    return tested.returncode == 0


@pytest.mark.engine
@pytest.mark.parametrize("windows", sorted(BURNS))
def test_promtool_finds_no_fault_in_the_rules(tmp_path, windows):
    asked = Objectives(ttft_s=0.45, e2e_s=0.1, share=0.999, windows=windows)
    (tmp_path / "rules.yml").write_text(rules.text(ENGINES.values(), asked))
    checked = promtool(tmp_path, "check", "rules", "--lint-fatal", "rules.yml")
    assert checked.returncode == 0, checked.stderr


@pytest.mark.engine
def test_promtool_finds_no_fault_in_the_configuration_with_them(tmp_path):
    (tmp_path / "rules.yml").write_text(rules.text(ENGINES.values(), ASKED))
    (tmp_path / "prometheus.yml").write_text(
        configuration(str(tmp_path), str(tmp_path / "rules.yml"))
    )
    checked = promtool(tmp_path, "check", "config", "prometheus.yml")
    assert checked.returncode == 0, checked.stderr
    assert "rules found" in checked.stdout


@pytest.mark.engine
@pytest.mark.parametrize("name", ["objectives", "servers_and_lab"])
def test_the_rules_keep_promtools_unit_tests(tmp_path, name):
    assert unit_tested(tmp_path, rules.text(ENGINES.values(), ASKED), name)


WRONG = [
    ("objectives", 'le="0.5"', 'le="0.63"'),
    ("objectives", 'le="0.2"', 'le="0.25"'),
    ("objectives", "> 14.4 * 0.01", "> 9.4 * 0.01"),
    ("objectives", "> 6 * 0.01", "> 14.4 * 0.01"),
    ("objectives", " * 300 >= 10", " * 300 >= 1"),
    ("objectives", '{slo="ttft",threshold_s="0.5"} >', '{slo="ttft"} >'),
    ("objectives", 'rate1m{slo=\\"e2e\\"', 'rate30m{slo=\\"e2e\\"'),
    ("objectives", '(not (printf "up{', '(not (printf "ok{'),
    ("objectives", "%.3g", "%.4g"),
    ("servers_and_lab", "[30s]) > 0 and", "[30s]) > 3 and"),
    ("servers_and_lab", "max > 0.95", "max > 0.96"),
    ("servers_and_lab", "max > 0.95", "max > 0.94"),
    ("servers_and_lab", "rate1m > 0\n", "rate1m > 1\n"),
    ("servers_and_lab", "== 0\n", "== 1\n"),
    ("servers_and_lab", "[15s]) > 0.1\n", "[15s]) > 0.3\n"),
    ("servers_and_lab", "[15s]) > 0.01 ", "[15s]) > 0.001 "),
    ("servers_and_lab", "seconds > 0.5\n", "seconds > 0.7\n"),
    ("servers_and_lab", "failures_total[1m]) > 0", "failures_total[1m]) >= 0"),
]


@pytest.mark.engine
@pytest.mark.parametrize(("name", "right", "wrong"), WRONG)
def test_a_wrong_threshold_breaks_promtools_unit_tests(tmp_path, name, right, wrong):
    text = rules.text(ENGINES.values(), ASKED)
    assert right in text
    assert not unit_tested(tmp_path, text.replace(right, wrong), name)


def test_every_alert_fires_in_a_unit_test_and_says_what_and_where_to_read_on():
    tested = "".join(file.read_text() for file in UNIT_TESTS.glob("*.yml"))
    alerts = [
        rule
        for group in rules.groups(list(ENGINES.values()), ASKED)
        for rule in group["rules"]
        if "alert" in rule
    ]
    assert len({alert["alert"] for alert in alerts}) == 10
    for alert in alerts:
        assert f'alertname="{alert["alert"]}"' in tested
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert set(alert["annotations"]) - {"ended"} == {"summary", "description", "notebook"}
        assert all(len(words) > 10 for words in alert["annotations"].values())
        assert (ROOT / alert["annotations"]["notebook"]).is_file()


def test_the_load_tests_own_metrics_are_the_ones_measured():
    assert objectives.CLIENT_BOUNDS_S == client_metrics.LATENCY_BUCKETS_S
    assert {name for name, _ in objectives.CLIENT_HISTOGRAMS.values()} == {
        client_metrics.TTFT_FROM_SCHEDULE.name,
        client_metrics.E2E.name,
    }
    assert objectives.CLIENT_FAILED.startswith(client_metrics.REQUESTS.name + "{")
    assert f"({client_metrics.LOOP_LAG.name}[" in yaml.dump(
        [alert.document() for alert in rules.LAB_ALERTS]
    )
    assert rules.CLIENT_SUSPECT_S == verdict.LOOP_LAG_SUSPECT_S
    assert rules.CLIENT_INVALID_S == verdict.LOOP_LAG_INVALID_S


def test_a_bound_is_taken_at_the_threshold_or_just_above_and_else_none():
    assert objectives.bound_at((0.1, 0.2, 0.3), 0.2) == 0.2
    assert objectives.bound_at((0.1, 0.25), 0.2) == 0.25
    assert objectives.bound_at((0.1, 0.3), 0.2) is None
    assert objectives.bound_at((0.1,), 0.2) is None


@given(
    st.lists(st.floats(1e-4, 1e3), min_size=1, max_size=30), st.floats(1e-3, 100, exclude_min=True)
)
def test_no_bound_is_below_the_threshold_and_none_is_nearer(bounds, threshold):
    found = objectives.bound_at(bounds, threshold)
    near = [b for b in bounds if threshold * (1 - 1e-9) <= b <= threshold * objectives.COARSEST]
    assert found == min(near, default=None)


@given(st.integers(1000, 10**7), st.integers(0, 6))
def test_a_bound_is_found_as_python_and_as_prometheus_write_it(digits, places):
    bound = float(f"{digits}e-{places}")
    how, pattern = re.fullmatch(r'le(=~?)"(.*)"', objectives.le(bound)).groups()
    pattern = re.escape(pattern) if how == "=" else pattern.replace("\\\\", "\\")
    for written in (f"{bound:.12f}".rstrip("0").rstrip("."), repr(bound)):
        assert re.fullmatch(pattern, written)


def test_who_has_no_histogram_fine_enough_is_named():
    lacking = "\n".join(objectives.unmeasured(ENGINES.values(), ASKED))
    assert "TorchServe" in lacking
    assert "Text Generation Inference, TTFT: it has no histogram" in lacking
    coarse = Objectives(ttft_s=0.5, e2e_s=0.15, share=0.99, windows="lab")
    lacking = "\n".join(objectives.unmeasured(ENGINES.values(), coarse))
    assert "BentoML, E2E: its buckets are too coarse" in lacking
    assert "BentoML" not in "\n".join(objectives.unmeasured(ENGINES.values(), ASKED))


def with_bounds() -> list[tuple[str, Metric]]:
    return [(e.name, m) for e in ENGINES.values() for m in e.metrics if m.bounds]


@pytest.mark.parametrize(("engine", "metric"), with_bounds())
def test_the_bounds_said_are_the_bounds_exported(engine, metric):
    """Of every engine whose `/metrics` was recorded."""
    found: set[str] = set()
    for file in RECORDED:
        if file.name.startswith(f"{engine}-"):
            for line in file.read_text().splitlines():
                if line.startswith(f"{metric.name}_bucket{{"):
                    found |= set(BOUND.findall(line.rpartition("}")[2]))
    if not found:
        pytest.skip(f"no recorded /metrics of {engine} has {metric.name}")
    for bound in metric.bounds:
        how, pattern = re.fullmatch(r'le(=~?)"(.*)"', objectives.le(bound)).groups()
        pattern = re.escape(pattern) if how == "=" else pattern.replace("\\\\", "\\")
        assert [one for one in found if re.fullmatch(pattern, one)], f"{bound}: {pattern}"


@pytest.mark.parametrize("written", ["0.086736", "0.08673599999999999", "0.08673600000000001"])
def test_a_bound_is_found_however_it_is_written(written):
    pattern = objectives.le(0.086736).removeprefix('le=~"').removesuffix('"')
    assert re.fullmatch(pattern, written)
    for other in ("0.0867361", "0.086735", "0.0867", "0.1086736", "0x086736"):
        assert not re.fullmatch(pattern, other)


def test_the_batchers_bounds_are_its_middlewares():
    (metric,) = (m for m in ENGINES["fastapi-batcher"].metrics if m.bounds)
    assert metric.bounds == BUCKETS_S


@pytest.mark.engine
def test_a_real_prometheus_takes_the_rules_with_the_thresholds_asked_for(lab_home):
    settings = {"slo_ttft_ms": 320.0, "slo_objective": 0.95}
    prometheus = supervisor.up("prometheus", settings=settings, say=quiet)
    address = prometheus.base_url.removeprefix("http://")
    labels = {"job": "engine", "engine": "vllm", "instance": "gone"}
    target = [{"targets": ["127.0.0.1:9"], "labels": labels}]
    (paths.targets() / "gone.json").write_text(json.dumps(target))
    assert 'le="0.32"' in (paths.workspace("prometheus") / "rules.yml").read_text()

    def groups() -> list[dict]:
        answer = probe.get_json(f"http://{address}/api/v1/rules")
        return answer["data"]["groups"] if answer else []

    def healthy() -> bool:
        every = [rule for group in groups() for rule in group["rules"]]
        return bool(every) and all(rule["health"] == "ok" for rule in every)

    assert eventually(healthy), groups()
    assert "* 0.05" in json.dumps(groups())

    def alerts() -> list[dict]:
        answer = probe.get_json(f"http://{address}/api/v1/alerts")
        return answer["data"]["alerts"] if answer else []

    assert eventually(alerts)
    (alert,) = alerts()
    assert alert["labels"]["alertname"] == "TargetDown"
    assert alert["annotations"]["summary"] == "gone (engine) does not answer Prometheus"


def test_other_objectives_are_refused_with_what_can_be():
    with pytest.raises(supervisor.ServerError, match=r"slo_objective=0\.5 cannot be"):
        supervisor.up("prometheus", settings={"slo_objective": 0.5}, say=quiet)


def test_the_readmes_objectives_are_ones_that_can_be_asked_for():
    readme = (ROOT / "README.md").read_text()
    (line,) = re.findall(r"^    lab up prometheus (--set .*)$", readme, re.MULTILINE)
    settings = knobs.parse(ENGINES["prometheus"], line.replace("--set", "").split())
    asked = Objectives.of(settings)
    assert (asked.ttft_s, asked.e2e_s, asked.share) == (0.3, 0.1, 0.999)
    assert Objectives.of(knobs.complete(ENGINES["prometheus"], {})) == ASKED
    assert "within 200 ms" in readme
    assert "within 500 ms, each for 99% of the requests" in readme.replace("\n", " ")
