"""`lab batch` on a stand-in for the engine: what is kept, what is left, what is refused."""

import io
import json
import os
import re
import shlex
import signal
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from lab import batch_file, reports
from lab.batch import Outcome, batch
from lab.cli import app
from lab.errors import LabError
from measure.compare import compare
from measure.store import open_run
from servers import supervisor
from servers.contract import Engine, Launch, OfflineLaunch
from servers.errors import ServerError

JOB = Path(__file__).with_name("standin_job.py")


def engine(pace_s: float = 0.0) -> Engine:
    def offline(_request, prompts, report_fd):
        argv = (sys.executable, str(JOB), str(prompts), str(report_fd), str(pace_s))
        return OfflineLaunch(argv, {})

    return Engine(
        name="standin",
        title="Stand-in",
        summary="",
        ports={},
        launch=lambda _: Launch((), {}, "", ""),
        resolve_model=lambda name, _: name or "/models/standin",
        offline=offline,
    )


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERVING_LAB_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SERVING_LAB_RUNS", str(tmp_path / "runs"))
    yield tmp_path
    supervisor.down(say=lambda _: None)


def ask(home: Path, lines: list[dict], pace_s: float = 0.0, model: str | None = None) -> Outcome:
    source = home / "prompts.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    console = Console(file=io.StringIO(), width=120)
    return batch(engine(pace_s), source, home / "answers.jsonl", console, settings={}, model=model)


def answers(home: Path) -> list[dict]:
    path = home / "answers.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def ours(home: Path) -> list[int]:
    """Living processes that carry the mark of this lab."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(home) in process.environ().get("SERVING_LAB_INSTANCE", ""):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def prompts(count: int) -> list[dict]:
    return [{"prompt": f"say {number}", "output_tokens": 5} for number in range(count)]


def test_every_prompt_gets_its_answer_and_the_run_holds_the_same_requests(home):
    chat = {"messages": [{"role": "user", "content": "hello"}]}
    outcome = ask(home, [*prompts(3), chat])
    assert (outcome.left, outcome.refused, outcome.failure) == (0, {}, None)
    assert [one["text"] for one in answers(home)] == ["SAY 0", "SAY 1", "SAY 2", "HELLO"]
    assert outcome.run.summary["requests"]["ok"] == 4
    assert outcome.run.records["output_tokens"].to_pylist() == [5, 5, 5, 4]
    assert outcome.run.records["request_id"].to_pylist() == [f"line-{n}" for n in range(1, 5)]
    assert outcome.run.finished


def test_what_no_client_saw_is_missing_and_not_made_up(home):
    run = ask(home, prompts(4), pace_s=0.02).run
    for unknown in ("ttft_s", "itl_s", "tpot_s", "chunk_gap_s"):
        assert run.summary[unknown]["count"] == 0
    assert run.summary["e2e_s"]["count"] == 4
    assert run.summary["output_tokens_per_s"] > 0
    assert run.summary["client"]["verdict"] == "valid"
    times = answers(home)[1]["engine"]
    assert times["prefill_s"] == pytest.approx(0.01, abs=1e-4)
    assert times["decode_s"] == pytest.approx(0.01, abs=1e-4)


def test_it_is_told_that_there_was_no_client(home):
    console = Console(file=io.StringIO(), width=120)
    reports.print_run(console, ask(home, prompts(3)).run)
    assert "client: none\n" in console.file.getvalue()


def test_the_engines_own_series_come_along(home):
    run = ask(home, prompts(3)).run
    series = run.server_metrics
    assert set(series["metric"].to_pylist()) == {"vllm:generation_tokens_total"}
    assert series["value"].to_pylist() == [4.0, 8.0, 12.0]


def test_a_second_call_asks_only_what_has_no_answer(home):
    ask(home, prompts(2))
    outcome = ask(home, prompts(5))
    assert outcome.run.summary["requests"]["total"] == 3
    assert sorted(one["text"] for one in answers(home)) == [f"SAY {n}" for n in range(5)]
    assert ask(home, prompts(5)).run is None


def test_equal_prompts_are_as_many_answers(home):
    twice = [{"prompt": "again"}, {"prompt": "again"}]
    ask(home, twice[:1])
    assert ask(home, twice).run.summary["requests"]["total"] == 1
    assert ask(home, twice).run is None


def test_a_prompt_the_engine_refuses_fails_alone_and_is_tried_again(home):
    lines = [{"prompt": "one"}, {"prompt": "refuse"}, {"prompt": "two"}]
    outcome = ask(home, lines)
    assert (outcome.left, outcome.refused) == (1, {2: "too long"})
    assert outcome.run.summary["requests"]["by_error"] == {"stream_error: too long": 1}
    assert ask(home, lines).run.summary["requests"]["total"] == 1


def test_an_engine_that_dies_keeps_what_was_finished_and_says_why(home):
    outcome = ask(home, [{"prompt": "one"}, {"prompt": "die"}, {"prompt": "two"}])
    assert isinstance(outcome.failure, ServerError)
    assert "exit code -9" in str(outcome.failure)
    assert "the stand-in is loading" in str(outcome.failure)
    assert (outcome.left, [one["text"] for one in answers(home)]) == (2, ["ONE"])
    assert open_run(outcome.run.path).summary["requests"]["ok"] == 1
    assert ours(home) == []


def test_ctrl_c_keeps_every_finished_answer_and_leaves_no_process(home):
    seen = threading.Event()

    def interrupt() -> None:
        while len(answers(home)) < 3:
            time.sleep(0.01)
        seen.set()
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    outcome = ask(home, prompts(200), pace_s=0.05)
    assert seen.is_set()
    assert outcome.interrupted
    kept = answers(home)
    assert 3 <= len(kept) < 200
    assert outcome.left == 200 - len(kept)
    assert outcome.run.summary["requests"]["ok"] == len(kept)
    assert ours(home) == []


@pytest.mark.parametrize("enough", [1, 20, 150, 400])
def test_ctrl_c_between_two_answers_leaves_the_same_in_the_run_and_in_the_file(home, enough):
    """They come as fast as they are written, so the signal falls into a write."""

    def interrupt() -> None:
        path = home / "answers.jsonl"
        while not path.exists() or path.read_bytes().count(b"\n") < enough:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    outcome = ask(home, prompts(3000))
    assert outcome.interrupted
    assert outcome.run.finished
    assert enough <= outcome.run.summary["requests"]["ok"] == len(answers(home)) < 3000
    assert outcome.left == 3000 - len(answers(home))
    assert ours(home) == []


def test_how_long_an_engine_takes_to_end_is_no_time_of_the_run(home):
    """It was to answer until Ctrl-C, and not after: rates are over that time."""

    def interrupt() -> None:
        while len(answers(home)) < 5:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    outcome = ask(home, [{"prompt": "linger"}, *prompts(200)], pace_s=0.05)
    run = outcome.run
    assert outcome.interrupted
    last_s = max(row["last_content_s"] for row in run.records.to_pylist())
    assert last_s <= run.window.end_s < last_s + 2
    assert run.summary["requests"]["ok"] == len(answers(home))


def test_lab_down_finds_a_job_that_runs_and_what_was_finished_stays(home):
    stopped: list[str] = []

    def stop() -> None:
        while len(answers(home)) < 2:
            time.sleep(0.01)
        stopped.extend(supervisor.down(say=lambda _: None))

    stopping = threading.Thread(target=stop, daemon=True)
    stopping.start()
    outcome = ask(home, prompts(200), pace_s=0.05)
    stopping.join(timeout=60)
    assert stopped == ["standin-batch"]
    assert outcome.failure is not None
    assert 2 <= len(answers(home)) == outcome.run.summary["requests"]["ok"]


def test_runs_of_a_batch_are_compared_like_others(home):
    first, second = ask(home, prompts(3)).run, ask(home, prompts(6)).run
    rows = {(row.metric, row.quantile): row for row in compare([first, second]).rows}
    assert rows["output_tokens_per_s", None].change is not None
    assert ("ttft_s", "p50") not in rows


def test_a_file_of_answers_is_of_one_model_and_of_one_job(home):
    ask(home, prompts(1))
    with pytest.raises(LabError, match="one file, one model"):
        ask(home, prompts(2), model="/models/other")
    with (
        batch_file.opened(home / "answers.jsonl", "/models/standin"),
        pytest.raises(LabError, match="Another job"),
    ):
        ask(home, prompts(2))


@pytest.mark.parametrize("text", ["a note without a line's end", '{"prompt": "a"}', "{}\nx"])
def test_a_file_that_is_not_of_answers_is_left_as_it_is(tmp_path, text):
    path = tmp_path / "notes.txt"
    path.write_text(text)
    with pytest.raises(LabError, match="line 1 is no answer"), batch_file.opened(path, "m"):
        pass
    assert path.read_text() == text


@pytest.mark.parametrize("cut", ["{", '{"line": ', '{"line": 1, "digest": "'])
def test_an_answer_cut_off_anywhere_is_taken_away(tmp_path, cut):
    (tmp_path / "a.jsonl").write_text(cut)
    with batch_file.opened(tmp_path / "a.jsonl", "m"):
        assert (tmp_path / "a.jsonl").read_text() == ""


def test_answers_to_a_device_are_refused():
    with pytest.raises(LabError, match="no file"), batch_file.opened(Path("/dev/null"), "m"):
        pass


def test_a_line_cut_off_by_a_kill_is_asked_again(home):
    ask(home, prompts(2))
    path = home / "answers.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    second = ask(home, prompts(2)).run
    assert second.summary["requests"]["total"] == 1
    assert sorted(one["text"] for one in answers(home)) == ["SAY 0", "SAY 1"]
    # With which settings each was computed is found in the run that it names.
    assert answers(home)[-1]["run"] == second.path.name != answers(home)[0]["run"]


def test_a_file_of_something_else_is_not_written_to(home):
    (home / "answers.jsonl").write_text("my notes\n")
    with pytest.raises(LabError, match="line 1 is no answer"):
        ask(home, prompts(1))
    assert (home / "answers.jsonl").read_text() == "my notes\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON"),
        ("[1]", "no JSON object"),
        ("{}", "either prompt or messages"),
        ('{"prompt": "a", "messages": []}', "either prompt or messages"),
        ('{"prompt": ""}', "empty"),
        ('{"prompt": 3}', "no text"),
        ('{"messages": []}', "messages"),
        ('{"messages": [{"role": "user"}]}', "messages"),
        (r'{"prompt": "a\ud800"}', "half of a surrogate pair"),
        (r'{"messages": [{"role": "user", "content": "\udc00"}]}', "half of a surrogate pair"),
        ('{"prompt": "a", "output_tokens": 0}', "output_tokens"),
        ('{"prompt": "a", "output_tokens": true}', "output_tokens"),
        ('{"prompt": "a", "output_tokens": 1.5}', "output_tokens"),
    ],
)
def test_a_line_that_is_no_prompt_is_refused_by_its_number_before_anything_starts(
    tmp_path, line, said
):
    path = tmp_path / "p.jsonl"
    path.write_text('{"prompt": "good"}\n\n' + line + "\n")
    with pytest.raises(LabError, match="line 3") as refused:
        batch_file.read_prompts(path)
    assert said in str(refused.value)


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    (tmp_path / "p.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "good"}\n')
    (prompt,) = batch_file.read_prompts(tmp_path / "p.jsonl")
    assert (prompt.line, prompt.asks) == (1, {"prompt": "good"})


def test_no_prompts_and_no_file_are_refused(tmp_path):
    (tmp_path / "empty.jsonl").write_text("\n\n")
    for name, said in (("empty.jsonl", "holds no prompts"), ("none.jsonl", "cannot be read")):
        with pytest.raises(LabError, match=said):
            batch_file.read_prompts(tmp_path / name)


@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=8), st.data())
def test_whatever_was_answered_the_rest_is_what_is_left(tmp_path_factory, texts, data):
    folder = tmp_path_factory.mktemp("files")
    source = folder / "p.jsonl"
    source.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    found = batch_file.read_prompts(source)
    assert [one.asks["prompt"] for one in found] == texts
    answered = data.draw(st.sets(st.sampled_from(range(len(texts)))))
    with batch_file.opened(folder / "a.jsonl", "m") as kept:
        for place in answered:
            kept.append(found[place], "m", "run", {"text": texts[place]})
    with batch_file.opened(folder / "a.jsonl", "m") as kept:
        left = kept.left_of(found)
    missing = [text for place, text in enumerate(texts) if place not in answered]
    assert sorted(one.asks["prompt"] for one in left) == sorted(missing)


def test_an_engine_without_an_offline_form_says_so(tmp_path):
    source = tmp_path / "p.jsonl"
    source.write_text('{"prompt": "a"}\n')
    from servers import catalog

    with pytest.raises(LabError, match="without a server"):
        batch(
            catalog.find("triton"), source, tmp_path / "a", Console(file=io.StringIO()), settings={}
        )


README = Path(__file__).resolve().parents[2] / "README.md"
SHOWN = re.findall(r"^    lab (batch .*)$", README.read_text(), re.MULTILINE)


@pytest.mark.parametrize("command", SHOWN)
def test_a_batch_of_the_readme_is_taken_as_it_stands(command, monkeypatch):
    asked = {}

    def taken(engine, source, output, _console, *, settings, model):
        asked.update(engine=engine.name, source=source, output=output, model=model)
        return Outcome(None, 0)

    monkeypatch.setattr("lab.batch.batch", taken)
    result = CliRunner().invoke(app, shlex.split(command))
    assert result.exit_code == 0, result.output
    assert (asked["engine"], asked["source"]) == ("vllm", Path("prompts.jsonl"))
    where = "answers.jsonl" if "--output" in command else "prompts.answers.jsonl"
    assert asked["output"] == Path(where)


def test_the_readme_shows_a_batch():
    assert SHOWN
