"""Load tests that real `locust`, as a subprocess, refuses to begin, and what it says."""

import pytest


def refused(locust, tmp_path, *flags, code=1, scenario="completion"):
    """The message with which a load test does not begin; nothing is left behind."""
    done = locust.run(scenario, "-t", "2s", "--run-dir", str(tmp_path / "run"), *flags)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
    return done.stderr


def test_a_server_that_is_not_up_is_said_before_anything_starts(locust, free_port, tmp_path):
    said = refused(locust, tmp_path, "-H", f"http://127.0.0.1:{free_port()}", "--model", "m")
    assert "No server answers at http://127.0.0.1" in said


def test_a_model_that_is_not_there_is_named_with_those_that_are(reference, locust, tmp_path):
    said = refused(locust, tmp_path, "-H", reference.url, "--model", "llama")
    assert "has no model 'llama'; it has the models ref" in said


@pytest.mark.parametrize(
    ("spoken", "asked", "advice"),
    [
        ("kserve", "openai-completions", "--protocol kserve-generate"),
        ("openai", "kserve-generate", "--protocol openai-chat (chat.py) or openai-completions"),
    ],
)
@pytest.mark.parametrize("model", [[], ["--model", "ref"]])
def test_the_wrong_protocol_is_told_from_the_right_one(
    start_reference, locust, tmp_path, spoken, asked, advice, model
):
    server = start_reference("--protocols", spoken)
    said = refused(locust, tmp_path, "-H", server.url, "--protocol", asked, *model)
    assert advice in said


def test_a_server_that_refuses_the_request_is_quoted(reference, locust, tmp_path):
    said = refused(locust, tmp_path, "-H", reference.url, "--model", "ref,status=400")
    assert "400 as it was asked" in said


@pytest.mark.parametrize(
    ("flags", "code", "said"),
    [
        ([], 1, "No server to load"),
        (["-H", "http://x", "--warmup", "soon"], 2, "200req"),
        (["-H", "http://x", "-u", "-3"], 1, "-u -3 is no number of users"),
    ],
)
def test_options_that_cannot_be_meant_are_refused_in_one_line(locust, tmp_path, flags, code, said):
    """The rest of them: test_loadtests_options.py."""
    assert said in refused(locust, tmp_path, *flags, code=code)


def test_a_run_folder_that_holds_something_is_not_touched(reference, locust, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "notes.txt").write_text("mine")
    said = refused(locust, tmp_path, "-H", reference.url, "--run-dir", str(kept))
    assert "already holds something" in said
    assert [entry.name for entry in kept.iterdir()] == ["notes.txt"]


def test_no_classifier_there_is_said_for_both_transports(locust, free_port, tmp_path):
    nobody = f"127.0.0.1:{free_port()}"
    for transport in ("grpc", "http"):
        said = refused(
            locust, tmp_path, "-H", nobody, "--transport", transport, scenario="classify"
        )
        assert (
            "No KServe server answers over grpc" if transport == "grpc" else "No server answers"
        ) in said
