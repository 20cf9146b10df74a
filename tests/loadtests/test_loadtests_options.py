"""The options by themselves, with the few of Locust's own that they look at."""

import argparse
import json

import pytest

from loadtests.errors import LoadError
from loadtests.flags import add_arguments, seconds
from loadtests.options import check

URL = "http://127.0.0.1:8000"


def parse(*flags, protocols=("openai-completions", "kserve-generate")):
    parser = argparse.ArgumentParser()
    parser.add_argument("-H", "--host")
    parser.add_argument("-u", "--users", type=int, dest="num_users")
    parser.add_argument("-r", "--spawn-rate", type=float)
    parser.add_argument("-t", "--run-time", type=int)
    add_arguments(parser, protocols)
    return check(parser.parse_args(flags))


def test_what_is_asked_for_is_what_is_meant():
    got = parse(
        "-H", f"{URL}/", "-u", "8", "-t", "60", "--model", "m", "--warmup", "5s", "--slo",
        "ttft=0.5", "--gap-timeout", "2m", "--prompt-tokens", "7",
    )  # fmt: skip
    assert (got.host, got.model, got.users, str(got.warmup)) == (URL, "m", 8, "5s")
    assert (got.protocol, got.prompt_tokens, got.schedule) == ("openai-completions", 7, None)
    assert len(got.asking.workload.turn(0).prompt.split()) == 7
    assert (got.timeouts.gap_s, got.slo.ttft_s) == (120.0, 0.5)


@pytest.mark.parametrize(
    ("text", "value"), [("5s", 5), ("1.5m", 90), ("500ms", 0.5), ("2h", 7200), ("7", 7)]
)
def test_durations_as_people_write_them(text, value):
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "No server to load"),
        (["-H", "ftp://x"], "not an http(s) URL"),
        (["-H", URL, "--rate", "4"], "also needs --arrival"),
        (["-H", URL, "--arrival", "poisson"], "also needs --rate"),
        (["-H", URL, "-t", "5", "--warmup", "5s"], "leaves nothing"),
        (["-H", URL, "-u", "-3"], "-u -3 is no number of users"),
        (["-H", URL, "-u", "0"], "-u 0 is no number of users"),
        (["-H", URL, "-r", "-1"], "-r -1 is no number of users to start"),
        (["-H", URL, "-r", "nan"], "-r nan is no number of users to start"),
        (["-H", URL, "--arrival", "bursty", "--rate", "1"], "can be constant, poisson"),
        (["-H", URL, "--arrival", "ramp", "--rate", "1:2"], "say how long it is"),
        (["-H", URL, "--arrival", "trace", "--trace", "/no/such"], "cannot be read"),
        (["-H", URL, "--prompt-tokens", "none"], "no length"),
        (["-H", URL, "--output-tokens", "0"], "no length"),
        (["-H", URL, "--output-tokens", "uniform:9:3"], "Write uniform:3:9"),
        (["-H", URL, "--turns", "3"], "only chat has them"),
        (["-H", URL, "--dataset", "/no/such"], "cannot be read"),
        (["-H", URL, "--tokenizer", "/no/such"], "no such file"),
        (["-H", URL, "--engine-json", "/no/such"], "no such file"),
    ],
)
def test_options_that_do_not_go_together_are_refused(flags, said):
    with pytest.raises(LoadError) as caught:
        parse(*flags)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("--warmup", "soon", "200req"),
        ("--warmup", "0req", "200req"),
        ("--total-timeout", "0s", "above zero"),
        ("--slo", "speed=1", "SLO"),
        ("--protocol", "soap", "invalid choice"),
        ("--metrics-port", "99999", "not a port"),
    ],
)
def test_values_that_cannot_be_are_refused_by_the_parser(capsys, flag, value, said):
    with pytest.raises(SystemExit) as caught:
        parse("-H", URL, flag, value)
    assert caught.value.code == 2
    assert said in capsys.readouterr().err


def test_what_the_manifest_shall_say_of_the_engine_comes_from_a_file(tmp_path):
    file = tmp_path / "engine.json"
    file.write_text(json.dumps({"name": "vllm", "settings": {"max_num_seqs": 1}}))
    assert parse("-H", URL, "--engine-json", str(file)).engine["name"] == "vllm"
    for broken in ("[1]", "{"):
        file.write_text(broken)
        with pytest.raises(LoadError, match="JSON"):
            parse("-H", URL, "--engine-json", str(file))


def test_a_run_folder_may_hold_logs_and_nothing_else(tmp_path):
    (tmp_path / "logs").mkdir()
    assert parse("-H", URL, "--run-dir", str(tmp_path)).run_dir == tmp_path
    (tmp_path / "requests.parquet").write_text("")
    with pytest.raises(LoadError, match="already holds something"):
        parse("-H", URL, "--run-dir", str(tmp_path))


def test_only_the_scenario_of_triton_has_transports():
    assert parse("-H", "127.0.0.1:8001", protocols=("kserve-infer",)).transport == "grpc"
    with pytest.raises(SystemExit):
        parse("-H", URL, "--transport", "grpc")
