"""vLLM's command line and environment, as text; nothing is started."""

import json
import shlex
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from asked import request_of
from hypothesis import given
from hypothesis import strategies as st

from servers import knobs, paths
from servers.contract import Knob, Request
from servers.errors import ServerError
from servers.vllm import ENGINE
from servers.vllm.launch import prepare
from servers.vllm.metrics import HISTOGRAM_BUCKETS, METRICS


def request(device="cpu", **settings) -> Request:
    return request_of(ENGINE, model="/models/SmolLM2", device=device, **settings)


def command(asked: Request) -> list[str]:
    """The words after the interpreter, without the long list of bucket bounds."""
    argv = list(ENGINE.launch(asked).argv)
    at = argv.index("--custom-histogram-buckets")
    assert json.loads(argv[at + 1]) == HISTOGRAM_BUCKETS
    return argv[1:at]


ALWAYS = (
    "-m vllm.entrypoints.openai.api_server --host 127.0.0.1 --port 8000 "
    "--model /models/SmolLM2 --served-model-name SmolLM2 "
)


def test_the_command_on_a_cpu():
    assert command(request()) == shlex.split(
        ALWAYS + "--max-num-seqs 16 --max-num-batched-tokens 2048 "
        "--kv-cache-memory-bytes 1073741824 --kv-cache-dtype auto --tensor-parallel-size 1 "
        "--max-model-len 2048 --enable-chunked-prefill "
        "--enable-prefix-caching --enforce-eager --dtype bfloat16 --stream-interval 1 "
        "--shutdown-timeout 5"
    )


def test_the_command_on_a_gpu_whose_memory_is_shared_out():
    asked = request(
        "cuda",
        gpu_memory_utilization=0.5,
        enforce_eager=False,
        prefix_caching=False,
        num_gpu_blocks_override=200,
        kv_cache_dtype="fp8",
        tensor_parallel_size=2,
        speculative_ngram_tokens=3,
    )
    assert command(asked) == shlex.split(
        ALWAYS + "--max-num-seqs 16 --max-num-batched-tokens 2048 "
        "--gpu-memory-utilization 0.5 --kv-cache-dtype fp8 --tensor-parallel-size 2 "
        "--max-model-len 2048 --enable-chunked-prefill "
        "--no-enable-prefix-caching --num-gpu-blocks-override 200 --no-enforce-eager "
        "--dtype bfloat16 --stream-interval 1 --speculative-config "
        """'{"method": "ngram", "prompt_lookup_max": 4, "prompt_lookup_min": 2, """
        """"num_speculative_tokens": 3}' --shutdown-timeout 5"""
    )


def test_variables_of_the_cpu_are_not_set_on_a_gpu():
    cpu, cuda = ENGINE.launch(request()).env, ENGINE.launch(request("cuda")).env
    assert {name for name in cpu if "CPU" in name} == {"VLLM_CPU_OMP_THREADS_BIND"}
    assert not any("CPU" in name for name in cuda)


def test_the_hub_is_shut_for_a_folder_and_open_for_an_id():
    assert ENGINE.launch(request()).env["HF_HUB_OFFLINE"] == "1"
    hub = replace(request(), model="Qwen/Qwen2.5-0.5B-Instruct")
    assert "HF_HUB_OFFLINE" not in ENGINE.launch(hub).env


def test_usage_is_not_reported_and_files_stay_in_the_labs_folders():
    asked = request()
    env = ENGINE.launch(asked).env
    assert (env["VLLM_NO_USAGE_STATS"], env["DO_NOT_TRACK"]) == ("1", "1")
    homes = (paths.environments().parent, asked.workspace)
    folders = [Path(value) for value in env.values() if value.startswith("/")]
    assert len(folders) == 5
    assert all(any(folder.is_relative_to(home) for home in homes) for folder in folders)


def test_sockets_go_to_the_default_folder_where_the_labs_path_is_too_long_for_one():
    assert "TMPDIR" in ENGINE.launch(request()).env
    deep = replace(request(), workspace=Path("/" + "deep/" * 20 + "one"))
    assert "TMPDIR" not in ENGINE.launch(deep).env


def test_preparing_clears_the_sockets_of_the_last_start(tmp_path):
    asked = replace(request(), workspace=tmp_path)
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp" / "old-socket").write_text("")
    prepare(asked, print)
    fits = len(str(tmp_path / "tmp")) <= 67
    assert list((tmp_path / "tmp").iterdir()) == [] if fits else True


def test_addresses_lead_to_this_machine_even_when_all_interfaces_are_bound():
    made = ENGINE.launch(replace(request(), host="0.0.0.0"))
    assert made.argv[made.argv.index("--host") + 1] == "0.0.0.0"
    assert made.base_url == "http://127.0.0.1:8000"
    assert made.ready_url == "http://127.0.0.1:8000/health"
    assert made.metrics_url == "http://127.0.0.1:8000/metrics"


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"chunked_prefill": False, "max_num_batched_tokens": 512}, "max_model_len"),
        ({"max_num_seqs": 64, "max_num_batched_tokens": 32}, "max_num_seqs"),
        ({"gpu_memory_utilization": 0.5}, "kv_cache_gib"),
        ({"tensor_parallel_size": 2}, "splits a model over GPUs"),
    ],
)
def test_settings_that_contradict_each_other_or_the_device_are_refused(settings, named):
    with pytest.raises(ServerError, match=named):
        ENGINE.launch(request(**settings))


def values(knob: Knob) -> st.SearchStrategy:
    """Every value a knob takes, a little narrowed where knobs depend on each other."""
    if knob.kind == "bool":
        return st.booleans()
    if knob.choices:
        return st.sampled_from(knob.choices)
    low, high = knob.minimum, knob.maximum
    assert low is not None
    assert high is not None
    if knob.kind == "int":
        return st.integers(int(low), int(high))
    return st.floats(low, high)


@given(st.fixed_dictionaries({knob.name: values(knob) for knob in ENGINE.knobs}))
def test_every_setting_reaches_the_command_line_by_its_flag_or_is_refused(settings):
    asked = request("cuda", **settings)
    try:
        argv = command(asked)
    except ServerError as error:
        assert "max_num_batched_tokens" in str(error)
        return
    for knob in ENGINE.knobs:
        value = settings[knob.name]
        if knob.kind == "bool":
            assert (knob.flag in argv) == value
            assert (knob.flag.replace("--", "--no-", 1) in argv) == (not value)
        elif knob.name == "kv_cache_gib":
            assert knob.flag not in argv
        elif knob.name == "speculative_ngram_tokens":
            told = json.loads(argv[argv.index(knob.flag) + 1])
            assert (told["method"], told["num_speculative_tokens"]) == ("ngram", value)
        else:
            assert argv[argv.index(knob.flag) + 1] == str(value)


def test_every_default_is_a_value_its_knob_takes():
    given_all = {knob.name: knob.default for knob in ENGINE.knobs if knob.default is not None}
    assert knobs.complete(ENGINE, given_all) == knobs.complete(ENGINE, {})


def test_bucket_bounds_grow_and_resolve_a_fifth_of_a_value():
    for family in ("time_to_first_token", "inter_token_latency", "request_latency"):
        bounds = HISTOGRAM_BUCKETS[family]
        assert bounds[0] == 0.001
        assert all(1.2 < b / a < 1.31 for a, b in pairwise(bounds))


def test_no_concept_is_declared_twice():
    concepts = [metric.concept for metric in METRICS]
    assert len(concepts) == len(set(concepts))
