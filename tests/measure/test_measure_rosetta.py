"""Four requests, small enough to be worked out by hand, under every tool's definitions.

    request  sent  content at     tokens (first chunk)  stream ends
    a        0     0.1 0.2 0.4    5 (2)                 0.5
    b        1     1.3            1 (1)                 1.4
    c        2     failed                               2.1
    d        3     3.2 3.3        2 (1)                 3.35

The expected numbers were also got once from the tools' own code on these four requests.
"""

import numpy as np
import pytest

from measure.records import Status, TokenSource
from measure.rosetta import definitions
from measure.rosetta_terms import weighted
from measure.slo import Slo
from measure.store import RunWriter, open_run
from measure.verdict import ClientStats

VLLM, GUIDELLM, AIPERF, GENAI = "vllm bench serve", "guidellm", "aiperf", "genai-bench"
STATS = ClientStats(cpu_s=0.1, wall_s=10.0, max_in_flight=1, end_s=10.0)


@pytest.fixture
def make_run(tmp_path, make_manifest, make_record):
    def make(records, slo=None, **facts):
        writer = RunWriter.create(tmp_path / "r", make_manifest(slo=slo, **facts))
        for record in records:
            writer.append(record)
        writer.close(STATS)
        return open_run(tmp_path / "r")

    return make


@pytest.fixture
def four(make_record):
    return [
        make_record(0.0, (0.1, 0.2, 0.4), tokens=5, first_chunk_tokens=2, done_s=0.5),
        make_record(1.0, (0.3,), tokens=1, first_chunk_tokens=1, done_s=1.4),
        make_record(2.0, (), tokens=None, status=Status.HTTP_ERROR, http_status=503, done_s=2.1),
        make_record(3.0, (0.2, 0.3), tokens=2, first_chunk_tokens=1, done_s=3.35),
    ]


def _read(run):
    """{(metric, level): ({tool: value}, ours)}."""
    return {
        (line.metric, line.level): ({one.tool: one.value for one in line.readings}, line.ours)
        for line in definitions(run)
    }


EXPECTED = {
    # metric, level: ours, vllm, guidellm, aiperf, genai-bench
    ("ttft_s", "mean"): (0.2, 0.2, 0.2, 0.2, 0.2),
    ("ttft_s", "p50"): (0.2, 0.2, 0.2, 0.2, 0.2),
    ("ttft_s", "p90"): (None, 0.28, 0.3, 0.28, 0.28),
    ("itl_s", "mean"): (0.1, 0.4 / 3, 0.08, 0.0875, None),
    ("itl_s", "p50"): (0.1, 0.1, 0.075, 0.0875, None),
    ("itl_s", "p90"): (None, 0.18, 0.1, 0.0975, None),
    ("tpot_s", "mean"): (0.0875, 0.0875, 0.125, None, 0.125),
    ("tpot_s", "p50"): (0.075, 0.0875, 0.08, None, 0.125),
    ("tpot_s", "p90"): (None, 0.0975, 0.3, None, 0.145),
    ("e2e_s", "mean"): (1 / 3, 1 / 3, 1.25 / 3, 1 / 3, 1.25 / 3),
    ("e2e_s", "p50"): (0.3, 0.3, 0.4, 0.3, 0.4),
    ("output_tokens_per_s", None): (0.8, 8 / 3.35, 8 / 3.35, 8 / 3.3, 8 / 3.35),
    ("requests_per_s", None): (0.3, 3 / 3.35, 3 / 3.35, 3 / 3.3, 3 / 3.35),
    ("goodput_rps", None): (None, None, None, None, None),
    ("slo_attainment", None): (None, None, None, None, None),
    ("error_rate", None): (0.25, 0.25, 0.25, 0.25, 0.0),
}


@pytest.mark.parametrize("number", EXPECTED, ids=lambda number: " ".join(map(str, number)))
def test_each_tool_reads_four_requests_as_worked_out_by_hand(number, make_run, four):
    values, ours = _read(make_run(four))[number]
    found = (ours, *(values[tool] for tool in (VLLM, GUIDELLM, AIPERF, GENAI)))
    for value, expected in zip(found, EXPECTED[number], strict=True):
        assert value == (None if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    ("slo", "goodput", "attainment"),
    [
        (Slo(ttft_s=0.25, tpot_s=0.09), (1 / 10, 1 / 3.35, 1 / 3.35, 2 / 3.3, None), (1 / 4, 1 / 3, 2 / 4)),
        (Slo(tpot_s=0.09), (1 / 10, 2 / 3.35, 1 / 3.35, None, None), (1 / 4, 1 / 3, None)),
        (Slo(itl_s=0.09), (0.0, None, None, 1 / 3.3, None), (0.0, None, 1 / 4)),
        (Slo(e2e_s=0.36), (2 / 10, 2 / 3.35, 1 / 3.35, 2 / 3.3, None), (2 / 4, 1 / 4, 2 / 4)),
    ],
)  # fmt: skip
def test_goodput_differs_where_a_value_is_missing_or_an_objective_unknown(
    slo, goodput, attainment, make_run, four
):
    read = _read(make_run(four, slo=slo))
    values, ours = read["goodput_rps", None]
    for value, expected in zip(
        (ours, *(values[tool] for tool in (VLLM, GUIDELLM, AIPERF, GENAI))), goodput, strict=True
    ):
        assert value == (None if expected is None else pytest.approx(expected))
    values, ours = read["slo_attainment", None]
    for value, expected in zip((ours, values[GUIDELLM], values[AIPERF]), attainment, strict=True):
        assert value == (None if expected is None else pytest.approx(expected))
    assert values[VLLM] is None and values[GENAI] is None


def test_what_equals_ours_is_called_same_and_every_other_number_has_a_reason(make_run, four):
    for line in definitions(make_run(four, slo=Slo(ttft_s=0.25, tpot_s=0.09, e2e_s=1.0))):
        for one in line.readings:
            where = (line.metric, line.level, one.tool)
            assert one.same == (
                None not in (one.value, line.ours) and one.value == pytest.approx(line.ours)
            ), where
            assert one.same or one.why, where
            assert str(one).startswith("same") == one.same, where


def test_where_definitions_agree_nothing_is_said(make_run, four):
    lines = {(line.metric, line.level): line for line in definitions(make_run(four))}
    said = {one.tool: str(one) for one in lines["ttft_s", "mean"].readings}
    assert said[GUIDELLM] == said[AIPERF] == said[GENAI] == "same"
    assert said[VLLM].startswith("same here, though the clock stops at the first chunk")
    vllm = next(one for one in lines["ttft_s", "p50"].readings if one.tool == VLLM)
    assert vllm.at_most and "interpolated" in str(vllm)


def test_without_usage_guidellm_takes_chunks_for_tokens(make_run, make_record):
    counted = make_record(0.0, (0.1, 0.3), tokens=9, token_source=TokenSource.TOKENIZER)
    values, ours = _read(make_run([counted]))["output_tokens_per_s", None]
    assert ours == pytest.approx(0.9)
    assert values[GUIDELLM] == pytest.approx(2 / 0.3)
    assert values[VLLM] == pytest.approx(9 / 0.3)


def test_warm_up_is_left_out_for_all_tools_alike(make_run, four, make_record):
    late = [make_record(5.0 + n, (0.1, 0.2), tokens=2) for n in range(3)]
    values, ours = _read(make_run([*four, *late], warmup_s=5.0))["ttft_s", "mean"]
    assert ours == pytest.approx(0.1) and set(map(float, np.round([*values.values()], 9))) == {0.1}


@pytest.mark.parametrize("kind", ["empty", "all failed"])
def test_a_run_without_answers_has_no_numbers_and_raises_nothing(kind, make_run, make_record):
    failed = make_record(0.0, (), tokens=None, status=Status.TIMEOUT, done_s=1.0)
    for line in definitions(make_run([] if kind == "empty" else [failed])):
        if line.metric in ("ttft_s", "itl_s", "tpot_s", "e2e_s"):
            assert line.ours is None and all(one.value is None for one in line.readings)


def test_a_weighted_quantile_is_that_of_the_values_repeated():
    values, weights = np.array([3.0, 1.0, 2.0, 9.0]), np.array([2.0, 5.0, 3.0, 0.0])
    repeated = np.array([1.0] * 5 + [2.0] * 3 + [3.0] * 2)
    for level in (0.1, 0.5, 0.8, 0.9, 1.0):
        assert weighted(values, weights, level) == weighted(repeated, None, level)
