"""The command lines of the custom server and of the offline job, as text; nothing is started."""

import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from asked import request_of

from servers import catalog, paths, vllm
from servers.contract import Request
from servers.errors import ServerError
from servers.vllm_fastapi import ENGINE


def request(device="cuda", **settings) -> Request:
    return request_of(ENGINE, model="/models/SmolLM2", device=device, **settings)


ENGINE_FLAGS = (
    "--model /models/SmolLM2 --served-model-name SmolLM2 --max-num-seqs 16 "
    "--max-num-batched-tokens 2048 --gpu-memory-utilization 0.9 --kv-cache-dtype fp8 "
    "--tensor-parallel-size 4 --max-model-len 2048 --enable-chunked-prefill "
    "--enable-prefix-caching --enforce-eager --dtype bfloat16 --stream-interval 1 "
    "--shutdown-timeout 5 --custom-histogram-buckets"
)
ON_FOUR_GPUS = {
    "gpu_memory_utilization": 0.9,
    "kv_cache_dtype": "fp8",
    "tensor_parallel_size": 4,
}


def test_the_server_on_four_gpus():
    argv = list(ENGINE.launch(request(**ON_FOUR_GPUS)).argv)
    assert argv[:-1] == shlex.split(
        "/envs/vllm/bin/python -m servers.vllm_fastapi.inside --host 127.0.0.1 --port 8005 "
        + ENGINE_FLAGS
    )


def test_the_offline_job_on_four_gpus():
    made = vllm.ENGINE.offline(request(**ON_FOUR_GPUS), Path("/lab/p.jsonl"), 7)
    assert list(made.argv[:-1]) == shlex.split(
        "/envs/vllm/bin/python -m servers.vllm.inside.batch --prompts /lab/p.jsonl "
        "--report-fd 7 " + ENGINE_FLAGS
    )


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_engine_is_told_the_same_whichever_server_stands_before_it(device):
    asked = request(device, speculative_ngram_tokens=2)
    ours, own = list(ENGINE.launch(asked).argv), list(vllm.ENGINE.launch(asked).argv)
    assert ours[ours.index("--model") :] == own[own.index("--model") :]
    made = vllm.ENGINE.offline(asked, Path("/p"), 3).argv
    assert list(made[made.index("--model") :]) == own[own.index("--model") :]


def test_it_runs_in_vllms_environment_with_the_projects_code_in_reach():
    assert ENGINE.environment is vllm.ENGINE.environment
    env, own = ENGINE.launch(request("cpu")).env, vllm.ENGINE.launch(request("cpu")).env
    assert env == {**own, "PYTHONPATH": str(paths.ROOT)}


def test_addresses_lead_to_this_machine():
    made = ENGINE.launch(replace(request(), host="0.0.0.0"))
    assert made.base_url == "http://127.0.0.1:8005"
    assert (made.ready_url, made.metrics_url) == (
        "http://127.0.0.1:8005/health",
        "http://127.0.0.1:8005/metrics",
    )


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"tensor_parallel_size": 2}, "splits a model over GPUs"),
        ({"gpu_memory_utilization": 0.5}, "kv_cache_gib"),
        ({"chunked_prefill": False, "max_num_batched_tokens": 64}, "max_model_len"),
    ],
)
def test_what_vllm_refuses_is_refused_here_and_offline_too(settings, named):
    asked = request("cpu", **settings)
    with pytest.raises(ServerError, match=named):
        ENGINE.launch(asked)
    with pytest.raises(ServerError, match=named):
        vllm.ENGINE.offline(asked, Path("/p"), 3)


def test_it_is_warmed_by_a_chat():
    (one,) = ENGINE.warm_requests(request())
    assert one.path == "/v1/chat/completions"
    assert one.body["model"] == "SmolLM2"


def test_it_is_in_the_catalogue():
    assert catalog.find("vllm-fastapi") is ENGINE
