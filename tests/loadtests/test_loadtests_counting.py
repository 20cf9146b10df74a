"""Who counts the tokens, by protocol and by what the server gives; and what servers refuse.

Real `locust` against the reference servers; no TGI runs here, its frames are the reference's.
"""

import subprocess
import sys
from pathlib import Path

import pyarrow.compute as pc
import pytest

from measure.store import open_run

pytestmark = pytest.mark.load(timed=False)

ROOT = Path(__file__).resolve().parents[2]


def ok_rows(path):
    records = open_run(path).records
    return records.filter(pc.equal(records.column("status"), "ok")).to_pylist()


@pytest.fixture
def start_known(tmp_path):
    """Starts `servers.reference`, which speaks every HTTP protocol; it ends with the test."""
    started = []

    def start(*flags: str) -> str:
        process = subprocess.Popen(
            [sys.executable, "-m", "servers.reference", "--port", "0", "--ttft-ms", "10",
             "--ttft-tail", "0", "--gap-ms", "3", *flags],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout is not None
        return "http://" + process.stdout.readline().split()[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def words_tokenizer(tmp_path):
    """A tokenizer that counts words."""
    import tokenizers
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    made = tokenizers.Tokenizer(WordLevel({"[UNK]": 0, "time": 1}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    return str(tmp_path / "tokenizer.json")


def test_tgi_is_counted_by_its_own_details(start_known, locust, tmp_path):
    done = locust.run(
        "completion", "-H", start_known(), "--protocol", "tgi", "-u", "2", "-t", "2s",
        "--output-tokens", "5", "--prompt-tokens", "11", "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = open_run(tmp_path / "run")
    assert run.manifest["load"]["protocol"] == "tgi"
    assert run.manifest["engine"]["model"] == "reference"
    rows = ok_rows(tmp_path / "run")
    assert rows
    names = ("output_tokens", "first_chunk_tokens", "prompt_tokens", "chunks", "token_source")
    assert {tuple(row[name] for name in names) for row in rows} == {(5, 1, 11, 5, "usage")}


def test_failures_of_tgi_are_told_apart(start_known, locust, tmp_path):
    """A stream that is cut has no last frame, and ends as silently as TGI's would."""
    url = start_known("--stream-error-share", "0.3", "--disconnect-share", "0.3", "--seed", "1")
    locust.run(
        "completion", "-H", url, "--protocol", "tgi", "-u", "4", "-t", "1s",
        "--output-tokens", "5", "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    records = open_run(tmp_path / "run").records.to_pylist()
    errors = {(row["error"] or "").partition(":")[0] for row in records}
    assert errors - {"cancelled"} == {"", "server_error", "disconnected"}
    assert {row["status"] for row in records if row["error"]} <= {"stream_error", "cancelled"}


def test_a_model_that_tgi_does_not_serve_is_refused_though_no_request_names_one(
    start_known, locust, tmp_path
):
    done = locust.run(
        "completion", "-H", start_known(), "--protocol", "tgi", "-t", "1s", "--model", "llama",
        "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 1
    assert "has the models reference, and no request of tgi can ask for 'llama'" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("scenario", "model", "protocol", "source"),
    [
        ("chat", "ref,usage=2", "openai-chat", "chunks"),
        ("completion", "ref,usage=0", "openai-completions", "chunks"),
        ("completion", "ref,usage=0", "openai-completions", "tokenizer"),
        ("completion", "ref", "kserve-generate", "tokenizer"),
    ],
)
def test_a_server_that_counts_nothing_is_counted_and_the_record_says_by_whom(
    reference, locust, tmp_path, words_tokenizer, scenario, model, protocol, source
):
    """Two words a chunk and no space between chunks: the tokenizer sees four in three chunks."""
    flags = ["--tokenizer", words_tokenizer] if source == "tokenizer" else []
    done = locust.run(
        scenario, "-H", reference.url, "--protocol", protocol, "-t", "1s", "--output-tokens", "6",
        "--model", f"{model},ttft=0.01,gap=0,per_chunk=2", "--run-dir", str(tmp_path / "run"),
        *flags,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = ok_rows(tmp_path / "run")
    counted = {(row["output_tokens"], row["chunks"], row["token_source"]) for row in rows}
    assert counted == {(4 if source == "tokenizer" else 3, 3, source)}


@pytest.mark.parametrize(
    ("strict", "dialect", "source", "note"),
    [
        (1, "standard", "usage", "without ignore_eos and a running usage"),
        (2, "plain", "chunks", "without ignore_eos and stream_options"),
    ],
)
def test_a_server_that_refuses_what_it_does_not_know_is_asked_for_less(
    reference, locust, tmp_path, strict, dialect, source, note
):
    done = locust.run(
        "chat", "-H", reference.url, "-t", "1s", "--output-tokens", "4",
        "--model", f"ref,strict={strict},ttft=0.01,gap=0", "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert note in done.stderr
    assert open_run(tmp_path / "run").manifest["load"]["dialect"] == dialect
    rows = ok_rows(tmp_path / "run")
    counted = {(row["output_tokens"], row["token_source"]) for row in rows}
    assert counted == {(4, source)}


@pytest.mark.parametrize(
    ("spoken", "asked", "advice"),
    [
        ("kserve", "tgi", "--protocol kserve-generate."),
        ("openai", "kserve-grpc", "openai-chat (chat.py) or openai-completions (completion.py)."),
    ],
)  # fmt: skip
def test_the_wrong_protocol_is_told_from_all_that_the_server_speaks(
    start_reference, locust, tmp_path, spoken, asked, advice
):
    server = start_reference("--protocols", spoken)
    done = locust.run(
        "completion", "-t", "1s", "-H", server.url, "--protocol", asked,
        "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert advice in done.stderr
    assert not (tmp_path / "run").exists()


def test_every_protocol_of_a_server_of_all_is_listed(start_known, locust, tmp_path):
    done = locust.run(
        "completion", "-t", "1s", "-H", start_known(), "--protocol", "kserve-grpc",
        "--run-dir", str(tmp_path / "run"),
    )  # fmt: skip
    assert "is no gRPC port" in done.stderr
    assert (
        "--protocol openai-chat (chat.py) or openai-completions (completion.py) or tgi or "
        "kserve-generate. For kserve-grpc give the server's gRPC port"
    ) in done.stderr
