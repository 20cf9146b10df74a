"""Classification over HTTP: what is asked, how its answers are judged, what is recorded."""

import contextlib
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.errors import StreamError
from loadtests.lengths import Length
from loadtests.protocols.classify import (
    CLASSIFIERS,
    CLASSIFY,
    CLS,
    KSERVE_INFER,
    SEP,
    check_answer,
    error_text,
    token_ids,
)
from loadtests.wire import KERNEL_STAMPS
from measure.store import open_run

pytestmark = pytest.mark.load(timed=False)

SERVER = Path(__file__).parents[1] / "support" / "classifier_server.py"
CLOCK = "kernel" if KERNEL_STAMPS else "user"
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["label", "logits", "outputs", "name", "data"]), inner)
    ),
)


def serve(log: Path, *flags: str):
    return subprocess.Popen(
        [sys.executable, str(SERVER), "--log", str(log), *flags], stdout=subprocess.PIPE, text=True
    )


@pytest.fixture
def start(tmp_path):
    """Starts the server; gives its URL and what it was asked."""
    with contextlib.ExitStack() as stack:

        def start(*flags: str):
            process = serve(tmp_path / "asked.jsonl", *flags)
            stack.callback(process.wait)
            stack.callback(process.kill)
            assert process.stdout is not None
            url = f"http://127.0.0.1:{int(process.stdout.readline())}"
            return url, lambda: [
                json.loads(line) for line in (tmp_path / "asked.jsonl").read_text().splitlines()
            ]

        yield start


def loaded(locust, tmp_path, url, protocol, *flags):
    done = locust.run(
        "classify", "-H", url, "--protocol", protocol, "-u", "2", "-r", "2", "-t", "1s",
        "--stop-timeout", "5s", "--run-dir", str(tmp_path / "run"), *flags,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return open_run(tmp_path / "run"), done


@pytest.mark.parametrize("protocol", ["classify", "kserve-infer"])
def test_a_run_has_the_answers_their_names_and_the_kernels_stamps(
    start, locust, tmp_path, protocol
):
    url, asked = start(*(["--kserve"] if protocol == "kserve-infer" else []))
    run, done = loaded(locust, tmp_path, url, protocol, "--prompt-tokens", "9")
    assert done.returncode == 0, done.stderr
    rows = run.records.to_pylist()
    assert len(rows) > 10
    said = ("status", "http_status", "chunks", "output_tokens", "token_source", "clock")
    assert {tuple(row[name] for name in said) for row in rows} == {
        ("ok", 200, 1, None, "none", CLOCK)
    }
    # The server waits so long before it answers.
    assert all(row["last_content_s"] - row["sent_s"] >= 0.02 for row in rows)
    questions = {one["name"].rsplit("-", 1)[-1]: one["asked"] for one in asked()}
    texts = []
    for row in rows:
        question = questions[row["request_id"].rsplit("-", 1)[-1]]
        if protocol == "kserve-infer":
            ids, mask = (tensor["data"] for tensor in question["inputs"])
            assert question["inputs"][0]["shape"] == [1, len(ids)] and mask == [1] * len(ids)
        else:
            ids = question["input_ids"]
        texts.append(ids)
    assert all(ids[0] == CLS and ids[-1] == SEP and 2 <= len(ids) <= 9 for ids in texts)
    assert len({len(ids) for ids in texts}) > 3
    load = run.manifest["load"]
    assert (load["protocol"], load["transport"]) == (protocol, "http")


@pytest.mark.parametrize(
    ("does", "flags", "status", "http_status", "error"),
    [
        ("status=503", (), "http_error", 503, "as it was asked: 503"),
        ("drop", (), "stream_error", None, "disconnected"),
        ("body=soon", (), "stream_error", 200, "bad_answer: Expecting value"),
        ('body={"label": "positive"}', (), "stream_error", 200, "logits is no list of numbers"),
        ("body=data: {}", (), "stream_error", 200, "bad_answer"),
        ("hang", ("--first-token-timeout", "300ms"), "timeout", None, "first_token_timeout"),
        ("hang", ("--total-timeout", "300ms"), "timeout", None, "total_timeout"),
    ],
)
def test_what_is_no_answer_is_an_error_of_its_kind(
    start, locust, tmp_path, does, flags, status, http_status, error
):
    url, _ = start()
    prefix = quote(does if "=" in does else f"{does}=", safe="=")
    run, _ = loaded(locust, tmp_path, f"{url}/{prefix}", "classify", *flags)
    rows = [row for row in run.records.to_pylist() if row["status"] != "cancelled"]
    assert rows and run.summary["requests"]["ok"] == 0
    for row in rows:
        assert (row["status"], row["http_status"]) == (status, http_status)
        assert error in row["error"]


def test_a_connection_that_the_server_closed_is_replaced_without_an_error(start, locust, tmp_path):
    url, _ = start()
    run, done = loaded(locust, tmp_path, f"{url}/close=1", "classify")
    assert done.returncode == 0, done.stderr
    assert run.summary["requests"]["failed"] == 0
    assert run.summary["requests"]["ok"] > 10


def refused(locust, tmp_path, url, protocol, *flags):
    done = locust.run(
        "classify", "-H", url, "--protocol", protocol, "-t", "2s",
        "--run-dir", str(tmp_path / "run"), *flags,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
    return " ".join(done.stderr.split())


@pytest.mark.parametrize("protocol", ["classify", "kserve-infer"])
def test_no_server_there_is_said(locust, free_port, tmp_path, protocol):
    said = refused(locust, tmp_path, f"http://127.0.0.1:{free_port()}", protocol)
    assert "No server answers at" in said and "connect_refused" in said


def test_a_server_without_classify_is_told_by_what_it_speaks(start_reference, locust, tmp_path):
    said = refused(locust, tmp_path, start_reference("--protocols", "openai").url, "classify")
    assert "/classify gives HTTP 404" in said
    assert "It does answer --protocol openai-chat (chat.py)" in said


def test_each_of_the_two_is_named_to_who_asked_for_the_other(start, locust, tmp_path):
    url, _ = start("--kserve")
    said = refused(locust, tmp_path, url, "classify")
    assert "use --protocol kserve-infer --transport http" in said
    said = refused(locust, tmp_path, url, "kserve-infer", "--model", "other")
    assert "has no model 'other' ready. Ready are: text_classifier" in said


def test_a_classifier_that_is_no_kserve_server_is_told_so(start, locust, tmp_path):
    url, _ = start()
    said = refused(locust, tmp_path, url, "kserve-infer")
    assert "nothing answers --protocol kserve-infer there" in said
    assert "use --protocol classify" in said


def test_a_grpc_port_is_told_by_its_first_bytes(locust, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    client.sendall(b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")

        threading.Thread(target=greet, daemon=True).start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        said = refused(locust, tmp_path, url, "classify")
        listener.shutdown(socket.SHUT_RDWR)
    assert "is a gRPC port" in said and "--transport grpc speaks with it" in said


@given(st.integers(), st.integers(0, 10**6), st.integers(1, 300))
def test_a_text_depends_on_seed_and_name_alone_and_is_within_its_length(seed, name, most):
    ids = token_ids(seed, name, Length("fixed", most))
    assert ids == token_ids(seed, name, Length("fixed", most))
    assert 2 <= len(ids) <= max(2, most)
    assert ids[0] == CLS and ids[-1] == SEP
    assert all(999 < one < 30522 for one in ids[1:-1])


@pytest.mark.parametrize(
    ("protocol", "good"),
    [
        (CLASSIFY, {"label": "negative", "logits": [1, -0.5]}),
        (KSERVE_INFER, {"outputs": [{"name": "x"}, {"name": "logits", "data": [0.5, 1]}]}),
    ],
)
def test_an_answer_as_the_server_gives_it_is_one(protocol, good):
    check_answer(protocol, json.dumps(good).encode())


@given(st.sampled_from(sorted(CLASSIFIERS)), DOCUMENTS)
def test_any_document_is_an_answer_or_none_and_nothing_else(name, document):
    with contextlib.suppress(StreamError):
        check_answer(CLASSIFIERS[name], json.dumps(document).encode())
        # What passed has numbers in it.
        assert isinstance(document, dict) and ("logits" in document or "outputs" in document)


@given(st.sampled_from(sorted(CLASSIFIERS)), st.binary(max_size=40))
def test_any_bytes_that_are_no_json_are_no_answer(name, body):
    with pytest.raises(StreamError, match="bad_answer"):
        check_answer(CLASSIFIERS[name], body)


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ({"error": "too long"}, "too long"),
        ({"code": 503, "type": "ServiceUnavailable", "message": "busy"}, "busy"),
        ({"error": {"message": "inner"}}, "inner"),
        ({"detail": [{"msg": "field"}]}, "[{'msg': 'field'}]"),
        ([1], None),
        ({}, None),
    ],
)
def test_the_reason_of_a_refusal_is_found_in_what_servers_write(document, text):
    assert error_text(document) == text
