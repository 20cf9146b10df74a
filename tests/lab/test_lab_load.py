"""What a load is, and the exact command line it becomes."""

from dataclasses import replace
from pathlib import Path

import pytest

from lab.errors import LabError
from lab.experiment import protocol_of
from lab.load import SCENARIOS, Load, in_words, locust_argv, protocol_for, usual_scenario, validated
from loadtests.asking import PromptFlags
from loadtests.schedule import ArrivalFlags
from measure.warmup import Warmup
from servers.catalog import ENGINES

POISSON = ArrivalFlags("poisson", rate="2.5")
CLOSED = Load(scenario="chat", duration_s=30.0, warmup=Warmup("fixed", 5.0), users=8)
OPEN = Load(scenario="completion", duration_s=60.0, warmup=Warmup("fixed", 0.0), arrivals=POISSON)


def argv_of(load: Load, protocol: str) -> str:
    argv = locust_argv(
        load,
        host="http://127.0.0.1:8000",
        model="m",
        protocol=protocol,
        run_dir=Path("runs/r"),
        engine_json=Path("e.json"),
    )
    return " ".join(argv)


def test_a_closed_loop_lets_its_users_in_one_after_another_during_warm_up():
    line = argv_of(CLOSED, "openai-chat")
    assert "-u 8 -r 2 " in f"{line} "
    assert "--rate" not in line
    assert "--warmup 5s" in line


def test_without_a_warm_up_all_users_start_at_once():
    assert (
        "-u 8 -r 8 " in argv_of(replace(CLOSED, warmup=Warmup("fixed", 0.0)), "openai-chat") + " "
    )


@pytest.mark.parametrize("rule", ["200req", "auto"])
def test_where_the_warm_up_ends_by_itself_users_come_in_the_first_tenth(rule: str):
    line = argv_of(replace(CLOSED, warmup=Warmup.parse(rule)), "openai-chat")
    assert f"--warmup {rule} " in line
    assert "-u 8 -r 3.333 " in f"{line} "


def test_an_open_loop_names_arrival_and_rate_and_no_users():
    line = argv_of(OPEN, "openai-completions")
    assert "--arrival poisson --rate 2.5" in line
    assert " -u " not in line


def test_a_load_is_shared_between_processes_where_that_is_asked():
    assert "--processes" not in argv_of(CLOSED, "openai-chat")
    shared = replace(CLOSED, processes=-1)
    assert validated(shared) == shared
    assert "--processes -1" in argv_of(shared, "openai-chat")
    with pytest.raises(LabError, match="--processes is 0"):
        validated(replace(CLOSED, processes=0))
    with pytest.raises(LabError, match="--processes is 100000, and this machine has"):
        validated(replace(CLOSED, processes=100_000))


def test_a_tokenizer_that_cannot_be_read_is_refused_before_an_engine_starts(tmp_path):
    (tmp_path / "tokenizer.json").write_text("[1, 2]")
    with pytest.raises(LabError, match="cannot be read as a tokenizer"):
        validated(replace(CLOSED, tokenizer=str(tmp_path)))


def test_lengths_are_short_unless_something_else_says_them():
    assert "--prompt-tokens 64 --output-tokens 32" in argv_of(OPEN, "openai-completions")
    asked = replace(OPEN, prompts=PromptFlags(output_tokens="uniform:4:8"))
    assert "--prompt-tokens 64 --output-tokens uniform:4:8" in argv_of(asked, "openai-completions")
    traced = replace(OPEN, arrivals=ArrivalFlags("trace", trace="t.csv", speed="2"))
    line = argv_of(traced, "openai-completions")
    assert "-tokens" not in line
    assert "--arrival trace --trace t.csv --speed 2" in line
    dataset = replace(CLOSED, prompts=PromptFlags(dataset="d.json", think_time="2s"))
    line = argv_of(dataset, "openai-chat")
    assert "-tokens" not in line
    assert "--dataset d.json --think-time 2s" in line


def test_conversations_are_refused_where_the_engine_has_no_chat():
    talk = replace(CLOSED, prompts=PromptFlags(turns="3", think_time="1s"))
    assert protocol_of(ENGINES["vllm"], talk) == "openai-chat"
    with pytest.raises(LabError, match="only chat has them"):
        protocol_of(ENGINES["triton"], talk)
    with pytest.raises(LabError, match="only chat has them"):
        protocol_of(ENGINES["vllm"], replace(talk, scenario="completion"))


def test_only_the_classifier_is_given_a_transport():
    classify = Load(
        scenario="classify", duration_s=5.0, warmup=Warmup("fixed", 0.0), users=1, transport="grpc"
    )
    assert "--transport grpc" in argv_of(classify, "kserve-infer")
    # As all other servers are asked, unless somebody says otherwise.
    assert "--transport http" in argv_of(
        replace(classify, transport=Load.transport), "kserve-infer"
    )
    assert "--transport" not in argv_of(classify, "classify")
    assert "--transport" not in argv_of(CLOSED, "openai-chat")


@pytest.mark.parametrize(("users", "words"), [(1, "1 user"), (8, "8 users")])
def test_one_user_is_no_users(users, words):
    assert in_words(replace(CLOSED, users=users)) == words


@pytest.mark.parametrize(
    ("load", "named"),
    [
        (replace(CLOSED, scenario="chatt"), "chat, completion, classify"),
        (replace(CLOSED, users=None), "--users"),
        (replace(CLOSED, arrivals=POISSON), "--rate"),
        (replace(CLOSED, users=0), "--users"),
        (replace(OPEN, arrivals=ArrivalFlags("poisson", rate="0")), "--rate"),
        (replace(OPEN, arrivals=ArrivalFlags("foo", rate="1")), "constant, poisson, gamma"),
        (replace(OPEN, arrivals=ArrivalFlags("trace", trace="/no/such")), "--trace /no/such"),
        (replace(CLOSED, prompts=PromptFlags(dataset="/no/such")), "--dataset /no/such"),
        (replace(CLOSED, prompts=PromptFlags(think_time="2s")), "second turn"),
        (replace(CLOSED, tokenizer="/no/such"), "--tokenizer /no/such"),
        (replace(CLOSED, transport="udp"), "http or grpc"),
        (replace(CLOSED, protocol="openai-completions"), "openai-chat or tgi or kserve-generate"),
        (replace(CLOSED, warmup=Warmup("fixed", 30.0)), "warm-up"),
        (replace(CLOSED, duration_s=0.5, warmup=Warmup("fixed", 0.0)), "--duration"),
        (replace(CLOSED, prompts=PromptFlags(output_tokens="0")), "--output-tokens"),
        (replace(CLOSED, duration_s=7.5), "write 8s"),
    ],
)
def test_a_load_that_cannot_be_driven_is_refused_by_name(load: Load, named: str):
    with pytest.raises(LabError, match=named):
        validated(load)


def test_a_fitting_load_passes_unchanged():
    assert validated(CLOSED) is CLOSED
    assert validated(OPEN) is OPEN


def test_every_scenario_is_a_file_and_some_engine_answers_it():
    for scenario in SCENARIOS:
        assert (Path("loadtests") / f"{scenario}.py").exists()
        assert any(protocol_for(scenario, engine.protocols) for engine in ENGINES.values())


def test_the_protocol_asked_for_is_taken_where_the_engine_answers_it():
    triton, vllm = ENGINES["triton"], ENGINES["vllm"]
    assert protocol_of(triton, CLOSED) == "kserve-generate"
    assert protocol_of(triton, replace(CLOSED, protocol="kserve-grpc")) == "kserve-grpc"
    with pytest.raises(LabError, match="answers openai-chat, openai-completions"):
        protocol_of(vllm, replace(CLOSED, protocol="kserve-grpc"))


def test_the_scenarios_know_the_protocols_that_the_lab_asks_them_for():
    for scenario, protocols in SCENARIOS.items():
        source = (Path("loadtests") / f"{scenario}.py").read_text()
        listed = ", ".join(f'"{name}"' for name in protocols)
        assert f"protocols = ({listed}" in source


def test_an_engine_is_asked_what_it_can_answer_if_nobody_says():
    assert usual_scenario(ENGINES["triton"].protocols) == "chat"
    assert usual_scenario(("classify",)) == "classify"
    assert usual_scenario(()) == "chat"


def test_an_engine_without_the_protocol_has_none():
    assert protocol_for("classify", ("openai-chat",)) is None
