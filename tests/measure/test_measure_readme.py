"""The public format: what is written is documented, and what is documented is written."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

import measure
from measure import verdict
from measure.records import SCHEMA, Clock, Status, TokenSource
from measure.rosetta_tools import TOOLS
from measure.store import RunWriter, open_run
from measure.summary import QUANTITIES
from measure.table import TITLES
from measure.verdict import ClientStats, Verdict

README = (Path(measure.__file__).parent / "README.md").read_text(encoding="utf-8")


def _section(title):
    return README.split(f"## `{title}`")[1].split("\n## ")[0]


def _words(title):
    """Every name in code font; a path such as `client.cpu_s` names each of its parts."""
    named = re.findall(r"`([^`\s]+)`", _section(title))
    return {part for name in named for part in name.split(".")}


@pytest.fixture
def run(tmp_path, make_manifest, make_record):
    writer = RunWriter.create(tmp_path / "r", make_manifest())
    for sent in range(3):
        writer.append(make_record(float(sent)))
    writer.close(ClientStats(cpu_s=1.0, wall_s=5.0, max_in_flight=1))
    return open_run(tmp_path / "r")


def _names(facts, leave=()):
    for name, value in facts.items():
        yield name
        if isinstance(value, Mapping) and name not in leave:
            yield from _names(value, leave)


def test_every_field_of_a_summary_is_documented(run):
    assert set(_names(run.summary, leave=("by_error", "warmup"))) - _words("summary.json") == set()


def test_every_field_of_a_manifest_is_documented(run):
    names = set(_names(run.manifest, leave=("versions", "slo", "settings")))
    assert names - _words("manifest.json") == set()


def test_every_column_and_its_words_are_documented():
    words = set(SCHEMA.names) | {*map(str, (*Status, *TokenSource, *Clock))}
    assert words - _words("requests.parquet") == set()


def test_every_verdict_and_its_marks_are_as_documented():
    assert {str(one) for one in Verdict} <= _words("summary.json")
    text = _section("summary.json")
    for mark in (
        verdict.CPU_SUSPECT, verdict.CPU_INVALID, verdict.RATE_SUSPECT, verdict.RATE_INVALID,
        verdict.MERGED_SUSPECT, verdict.MERGED_INVALID, verdict.USER_CLOCK_CPU_SUSPECT,
    ):  # fmt: skip
        assert f"above {mark:.0%}" in text
    for mark_s in (
        verdict.LOOP_LAG_SUSPECT_S, verdict.LOOP_LAG_INVALID_S,
        verdict.DELAY_SUSPECT_S, verdict.DELAY_INVALID_S,
    ):  # fmt: skip
        assert f"above {mark_s * 1e3:.0f} ms" in text
    assert verdict.KERNEL_CLOCK_PATIENCE == 10 and "ten times as much" in text


def test_every_quantity_has_a_title_and_other_tools_words_for_it():
    assert list(TITLES) == list(QUANTITIES)
    for tool in TOOLS:
        assert set(tool.latencies) == {"ttft_s", "itl_s", "tpot_s", "e2e_s"}
