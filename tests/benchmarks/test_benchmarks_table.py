"""From results to the tables of the README, and the order in which they come to be."""

import importlib
from collections import Counter
from dataclasses import replace

import pytest

from benchmarks import report, table
from benchmarks.__main__ import LEVELS, REPETITIONS, TOOLS, main, order
from benchmarks.contract import Figures
from benchmarks.results import Measured, Result, from_json

OURS, GENAI = TOOLS[0], next(tool for tool in TOOLS if tool.gap == "TPOT")
TRUE = Figures(320, 0.3, 1.4, 0.02, 0.02)
MEASURED = Measured(
    reported=TRUE,
    true=TRUE,
    cpu_us_per_token=25.4,
    tokens_per_s=10_000.0,
    server_late_p99_s=0.0004,
    streams_most=64,
    streams_mean=63.5,
    cut=0,
    blocked=0,
)


def result(tool=OURS, error: str | None = None, **changes) -> Result:
    measured = None if error else replace(MEASURED, **changes)
    return Result(tool.key, 64, 0, 14.0, measured, error)


def reported(ttft_p50_s: float) -> Figures:
    return replace(TRUE, ttft_p50_s=ttft_p50_s)


def test_what_is_true_has_no_error():
    shown = table.overview([OURS], [64], [result()])
    assert "| 0% / 0% · 20.0 ms (20.0) · 25 µs |" in shown
    assert "64 streams (10k tokens/s)" in shown


def test_the_median_is_of_the_errors_of_the_repetitions():
    runs = [result(reported=reported(0.3 * factor)) for factor in (1.02, 1.04, 3.0)]
    assert "| +4.0% / 0%" in table.overview([OURS], [64], runs)


def test_small_errors_keep_a_decimal_and_large_ones_do_not():
    assert "+0.5% /" in table.line(result(reported=reported(0.3015))).replace(" p99", " /")
    assert "p50 +82%" in table.line(result(reported=reported(0.546)))
    assert "p50 −3.0%" in table.line(result(reported=reported(0.291)))


def test_a_tool_that_failed_is_a_row_with_its_error():
    runs = [result(), result(GENAI, error="exit code 1; it said: | no")]
    for shown in (
        table.overview([OURS, GENAI], [64], runs),
        table.details([OURS, GENAI], 64, runs),
    ):
        *_, last = shown.splitlines()
        assert "failed: exit code 1; it said: / no" in last
        assert last.count("|") == shown.splitlines()[0].count("|")


def test_one_failure_of_two_is_told_beside_the_figures():
    shown = table.overview([OURS], [64], [result(), result(error="killed")])
    assert "1 of 2 runs failed" in shown


def test_streams_not_held_and_a_starved_server_are_told():
    shown = table.overview([OURS], [64], [result(streams_mean=32.0, server_late_p99_s=0.05)])
    assert "held 50% of the streams" in shown
    assert "starves the server (50 ms late)" in shown


def test_a_mean_a_request_is_named():
    assert "· TPOT 20.0 ms" in table.overview([GENAI], [64], [result(GENAI)])


def test_results_come_back_from_their_file():
    for each in (result(), result(error="it said: no")):
        assert from_json(each.to_json()) == each


def test_every_tool_is_run_at_every_level_and_beginners_take_turns():
    plan = list(order(TOOLS, LEVELS, REPETITIONS))
    assert set(Counter((streams, tool.key) for _, streams, tool in plan).values()) == {REPETITIONS}
    rounds = [plan[i : i + len(TOOLS)] for i in range(0, len(plan), len(TOOLS))]
    assert all(len({(r, streams) for r, streams, _ in each}) == 1 for each in rounds)
    beginners = [each[0][2].key for each in rounds]
    assert len(set(beginners)) == min(len(rounds), len(TOOLS))


@pytest.fixture
def readme(tmp_path, monkeypatch):
    copy = tmp_path / "README.md"
    copy.write_text(report.README.read_text())
    monkeypatch.setattr(report, "README", copy)
    monkeypatch.setattr(report, "FIGURES", tmp_path / "figures.json")
    return copy


def test_only_the_figures_of_the_readme_are_renewed(readme):
    before = readme.read_text()
    stamped = report.stamp(TOOLS, 2)
    assert dict(stamped["versions"]).keys() == {t.name for t in TOOLS if t.environment}
    report.write("NEW FIGURES", [result()], stamped)
    report.write("NEWER FIGURES \\1", [result()], stamped)
    after = readme.read_text()
    assert "NEWER FIGURES \\1" in after
    assert "NEW FIGURES" not in after
    begin, end = "<!-- figures", "<!-- end of figures -->"
    assert after.split(begin)[0] == before.split(begin)[0]
    assert after.split(end)[1] == before.split(end)[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--levels", "8"], "a p99 takes more than 100 answers"),
        (["--levels", "64;256"], "with commas"),
        (["--peers", "ours,wrk"], "no wrk; there are ours, naive, floor, vllm"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_starts(
    words, said, monkeypatch, capsys
):
    monkeypatch.setattr("sys.argv", ["bench", *words])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_an_interrupted_bench_shows_what_it_has_and_leaves_the_readme(
    monkeypatch, capsys, readme, tmp_path
):
    def one(tool, _python, _tokenizer, streams, repetition, _folder):
        if tool.name == "floor":
            raise KeyboardInterrupt
        return Result(tool.key, streams, repetition, 14.0, MEASURED)

    bench = importlib.import_module("benchmarks.__main__")
    before = readme.read_text()
    monkeypatch.setattr(bench, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(bench, "_one", one)
    monkeypatch.setattr(bench, "_pythons", lambda tools: dict.fromkeys((t.key for t in tools), 0))
    monkeypatch.setattr(bench, "tiny_llama", lambda _say: None)
    monkeypatch.setattr(bench.supervisor, "down", lambda *_, **__: [])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["bench"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    shown = capsys.readouterr().out
    assert "| 0% / 0% · 20.0 ms (20.0) · 25 µs |" in shown
    assert "interrupted after 2 of" in shown
    assert readme.read_text() == before
    kept = next((tmp_path / "results").glob("*/results.jsonl")).read_text().splitlines()
    assert [from_json(each).tool for each in kept] == ["ours-default", "naive-default"]
