"""The memory forecast that is kept with an instance and with its runs."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lab.experiment import engine_facts
from servers import catalog, forecast, instances
from servers.contract import Engine, Launch, Request, Value
from servers.memory import GIB, MIB, Memory, Part, placed

CONFIG = {
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "hidden_size": 576,
    "torch_dtype": "bfloat16",
}


def asked(engine: Engine, model: str | None = None, **settings: Value) -> Request:
    every = {knob.name: knob.default for knob in engine.knobs} | settings
    return Request(engine.name, every, model, "m", {}, "127.0.0.1", Path("unused"), None, "cpu")


def test_an_engine_that_states_nothing_has_no_forecast():
    engine = catalog.find("reference")
    assert forecast.of(engine, asked(engine)) is None


def test_parts_sums_and_what_they_come_from_are_kept():
    memory = Memory(
        (
            placed("cpu", "weights", 100 * MIB, "as said"),
            placed("cpu", "KV cache", 50 * MIB, "rows", later=True),
            Part("overhead", None, None, "not measured"),
        ),
        kv_bytes_per_token=512,
    )
    kept = forecast.document(memory, "cpu")
    assert kept["host_bytes"] == {"start": 100 * MIB, "full": 150 * MIB}
    assert kept["gpus"] == 0 and kept["kv_bytes_per_token"] == 512
    assert [part["what"] for part in kept["parts"]] == ["weights", "KV cache", "overhead"]
    assert kept["parts"][2]["host_bytes"] is None
    assert kept["parts"][1]["later"] and kept["parts"][0]["how"] == "as said"


def test_the_kv_cache_of_a_share_is_what_the_other_parts_leave():
    memory = Memory(
        (placed("cuda", "weights", 10 * GIB, ""), placed("cuda", "KV cache", 0, "")), 1, 0.5
    )
    kept = forecast.document(memory, "cuda", 80 * GIB)
    assert {part["what"]: part["gpu_bytes"] for part in kept["parts"]} == {
        "weights": 10 * GIB,
        "KV cache": 30 * GIB,
    }
    assert kept["gpu_bytes"] == {"start": 40 * GIB, "full": 40 * GIB}
    unknown = forecast.document(memory, "cuda", None)
    assert unknown["gpu_bytes"]["start"] == 10 * GIB


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A folder that says of itself what SmolLM2-135M does; its weights have one tensor."""
    header = json.dumps(
        {"w": {"dtype": "BF16", "shape": [1000, 10], "data_offsets": [0, 20_000]}}
    ).encode()
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    (tmp_path / "model.safetensors").write_bytes(
        len(header).to_bytes(8, "little") + header + b"\0" * 20_000
    )
    return str(tmp_path)


def test_vllm_says_what_a_token_takes_and_what_it_sets_aside(model):
    engine = catalog.find("vllm")
    kept = forecast.of(engine, asked(engine, model, kv_cache_gib=0.5))
    assert kept is not None
    assert kept["kv_bytes_per_token"] == 2 * 30 * 3 * 64 * 2
    sizes = {part["what"]: part["host_bytes"] for part in kept["parts"]}
    assert sizes["KV cache"] == GIB // 2 and sizes["weights"] == 20_000


@pytest.mark.parametrize("name", ["triton", "tgi"])
def test_so_do_the_others_that_keep_a_kv_cache(name, model):
    engine = catalog.find(name)
    kept = forecast.of(engine, asked(engine, model))
    assert kept is not None and kept["kv_bytes_per_token"] in (23_040, 46_080)


def test_it_goes_through_the_state_file_into_the_manifest(model):
    engine = catalog.find("vllm")
    request = asked(engine, model)
    launch = Launch(("true",), {}, "http://h", "http://h/ready")
    from servers.starting import _instance

    instance = _instance(engine, request, launch, Path("log"))
    assert instance.memory_plan == forecast.of(engine, request)
    read = instances.Instance.from_json(json.loads(instance.to_json()))
    assert engine_facts(engine, read)["memory_plan"] == instance.memory_plan
    older = json.loads(instance.to_json())
    del older["memory_plan"]
    assert instances.Instance.from_json(older) == replace(instance, memory_plan=None)
