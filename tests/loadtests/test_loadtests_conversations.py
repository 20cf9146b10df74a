"""Conversations, traces and datasets through real `locust`, against a server that keeps what it hears."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from measure.store import open_run

pytestmark = pytest.mark.load(timed=False)

TURNS = 3


class Listener(ThreadingHTTPServer):
    """Answers chat with two words that nobody else could have said, and reasons before it does."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.heard = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def answers(self):
        """By request, what was asked: the check beforehand is not one of them."""
        return {asked["id"]: asked for asked in self.heard if asked["id"] != "preflight"}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.say(json.dumps({"data": [{"id": "m"}]}).encode(), "application/json")

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = self.headers["X-Request-Id"].rpartition("run-")[2]
        number = len(self.server.heard)
        self.server.heard.append({"id": name, "reply": f"said {number}", **asked})
        deltas = [{"role": "assistant"}, {"reasoning_content": "hm"}, {"content": "said "}]
        deltas.append({"content": str(number)})
        usage = {"prompt_tokens": 9, "completion_tokens": 3}
        events = [{"choices": [{"delta": delta}]} for delta in deltas]
        events.append({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": usage})
        body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        self.say(body.encode(), "text/event-stream")

    def say(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def listener():
    server = Listener()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def rows_of(path):
    return {row["request_id"]: row for row in open_run(path).records.to_pylist()}


@pytest.mark.parametrize("loop", [["-u", "2"], ["--arrival", "poisson", "--rate", "4"]])
def test_a_conversation_gives_back_the_real_answers_and_thinks_before_each_turn(
    listener, locust, tmp_path, loop
):
    done = locust.run(
        "chat", "-H", listener.url, *loop, "-t", "4s", "--turns", str(TURNS),
        "--think-time", "300ms", "--prompt-tokens", "6", "--shared-prefix-tokens", "4",
        "--run-dir", str(tmp_path / "run"), "--stop-timeout", "2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = open_run(tmp_path / "run")
    assert run.manifest["load"]["prompt"]["turns"] == TURNS
    assert run.manifest["load"]["prompt"]["think_time"] == {"kind": "fixed", "mean_s": 0.3}
    rows, answers = rows_of(run.path), listener.answers()
    later = [name for name in rows if "." in name and rows[name]["status"] == "ok"]
    assert any(name.endswith(f".{TURNS}") for name in later)
    assert not any(name.endswith(f".{TURNS + 1}") for name in rows)
    open_loop = "--rate" in loop
    for name in later:
        number, turn = name.split(".")
        before = number if turn == "2" else f"{number}.{int(turn) - 1}"
        # History, real answer without its reasoning, the next thing said.
        *history, last = answers[name]["messages"]
        reply = {"role": "assistant", "content": answers[before]["reply"]}
        assert history == [*answers[before]["messages"], reply]
        assert last["role"] == "user"
        assert len(last["content"].split()) == 6
        due_s = rows[before]["done_s"] + 0.3
        assert rows[name]["sent_s"] >= due_s - 0.001
        if open_loop:
            assert rows[name]["scheduled_s"] == pytest.approx(due_s, abs=1e-9)
    firsts = [answers[name]["messages"][0]["content"].split() for name in answers]
    assert {tuple(words[:4]) for words in firsts} == {tuple(firsts[0][:4])}
    assert {len(words) for words in firsts} == {10}


def test_a_turn_that_fails_ends_its_conversation(reference, locust, tmp_path):
    locust.run(
        "chat", "-H", reference.url, "-u", "1", "-t", "2s", "--turns", "3",
        "--output-tokens", "4", "--model", "ref,ttft=0.01,gap=0,fail_at=2",
        "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    rows = rows_of(tmp_path / "run")
    assert len(rows) > 3
    assert not [name for name in rows if "." in name]


def write_trace(path):
    lines = [f"{at_s},m,{tokens},{2 + at_s % 3},0,x" for at_s, tokens in ((7, 5), (8, 6), (9, 9))]
    lines += [f"9,m,{tokens},4,0,x" for tokens in (11, 12, 13)]
    path.write_text(
        "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n" + "\n".join(lines)
    )
    return [5, 6, 9, 11, 12, 13]


@pytest.mark.parametrize("processes", [[], ["--processes", "2"]])
def test_a_trace_is_replayed_once_and_ends_the_load(listener, locust, tmp_path, processes):
    tokens = write_trace(tmp_path / "burst.csv")
    # A minute and more is allowed, and the trace needs one second.
    done = locust.run(
        "chat", "-H", listener.url, "--arrival", "trace", "--trace", str(tmp_path / "burst.csv"),
        "--speed", "2", "-t", "100s", "--run-dir", str(tmp_path / "run"), *processes,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = open_run(tmp_path / "run")
    assert run.finished
    arrival = run.manifest["load"]["arrival"]
    assert (arrival["kind"], arrival["file"], arrival["format"]) == (
        "trace",
        "burst.csv",
        "burstgpt",
    )
    assert (arrival["requests"], arrival["speed"], arrival["ends_s"]) == (6, 2.0, 1.0)
    assert run.manifest["load"]["prompt"]["kind"] == "trace"
    assert 0.9 < run.summary["window_s"] < 100
    # The last one too was sent before the load was over.
    assert run.summary["achieved_rps"] == run.summary["offered_rps"]
    rows = sorted(rows_of(run.path).values(), key=lambda row: int(row["request_id"].split("-")[1]))
    assert [row["status"] for row in rows] == ["ok"] * 6
    offsets_s = [row["scheduled_s"] - rows[0]["scheduled_s"] for row in rows]
    assert offsets_s == pytest.approx([0.0, 0.5, 1.0, 1.0, 1.0, 1.0], abs=1e-9)
    asked = {int(name.split("-")[1]): one for name, one in listener.answers().items()}
    assert [len(asked[n]["messages"][0]["content"].split()) for n in range(6)] == tokens
    assert [asked[n]["max_tokens"] for n in range(6)] == [3, 4, 2, 4, 4, 4]


def test_a_run_can_be_replayed_itself(listener, locust, tmp_path):
    locust.run(
        "chat", "-H", listener.url, "--arrival", "poisson", "--rate", "8", "-t", "2s",
        "--run-dir", str(tmp_path / "first-run"),
    )  # fmt: skip
    done = locust.run(
        "chat", "-H", listener.url, "--arrival", "trace", "--trace", str(tmp_path / "first-run"),
        "-t", "100s", "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = open_run(tmp_path / "run")
    first_s, again_s = (
        sorted(row["scheduled_s"] for row in rows_of(path).values())
        for path in (tmp_path / "first-run", run.path)
    )
    assert [at_s - again_s[0] for at_s in again_s] == pytest.approx(
        [at_s - first_s[0] for at_s in first_s], abs=1e-9
    )
    assert run.manifest["load"]["arrival"]["run_id"] == "first-run"
    # As many tokens as the server counted then.
    assert {len(one["messages"][0]["content"].split()) for one in listener.heard[-3:]} == {9}


def test_a_dataset_is_asked_and_it_is_said_when_it_begins_again(listener, locust, tmp_path):
    entries = [
        {"messages": [{"role": "system", "content": "be brief"}, {"role": "user", "content": "a"},
                      {"role": "assistant", "content": "x"}, {"role": "user", "content": "b"}]},
        {"prompt": "c", "output_tokens": 5},
    ]  # fmt: skip
    (tmp_path / "own.jsonl").write_text("\n".join(json.dumps(entry) for entry in entries))
    done = locust.run(
        "chat", "-H", listener.url, "-u", "1", "-t", "1s",
        "--dataset", str(tmp_path / "own.jsonl"), "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "all 2 conversations of the dataset were asked" in done.stderr
    assert done.stderr.count("of the dataset were asked") == 1
    asked = list(listener.answers().values())
    said = [[message["content"] for message in one["messages"]] for one in asked]
    assert ["be brief", "a"] in said
    assert any(len(one) == 4 and one[0] == "be brief" and one[3] == "b" for one in said)
    assert {one["max_tokens"] for one in asked} == {5, 64}
    prompt = open_run(tmp_path / "run").manifest["load"]["prompt"]
    assert (prompt["kind"], prompt["file"], prompt["most_turns"]) == ("dataset", "own.jsonl", 2)


def test_what_cannot_be_asked_is_refused_before_anything_starts(listener, locust, tmp_path):
    done = locust.run(
        "completion", "-H", listener.url, "-t", "2s", "--turns", "3",
        "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 1
    assert "only chat has them" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
    assert listener.heard == []
