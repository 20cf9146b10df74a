"""What a model's files say of its size."""

import json
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from servers.models import facts
from servers.models.facts import ModelFacts

LLAMA = {
    "hidden_size": 576,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "num_hidden_layers": 30,
}


def write_weights(path: Path, **tensors: tuple[str, list[int], int]) -> None:
    """A safetensors file: name to format, shape and bytes."""
    header, at = {"__metadata__": {"format": "pt"}}, 0
    for name, (dtype, shape, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(at))


def folder(tmp_path: Path, config: object, **tensors: tuple[str, list[int], int]) -> str:
    (tmp_path / "config.json").write_text(json.dumps(config))
    if tensors:
        write_weights(tmp_path / "model.safetensors", **tensors)
    return str(tmp_path)


def test_parameters_are_counted_and_weighed_in_the_format_they_are_served_in(tmp_path):
    path = folder(
        tmp_path,
        {**LLAMA, "dtype": "bfloat16"},
        a=("BF16", [10, 20], 400),
        b=("F32", [5], 20),
    )
    found = facts.read(path)
    assert found == ModelFacts("bfloat16", 205, 0, 2 * 30 * 3 * 64)
    assert found.weight_bytes("auto") == 410
    assert found.weight_bytes("float32") == 820
    assert found.kv_bytes_per_token("auto") == 23_040
    assert found.kv_bytes_per_token("fp8_e4m3") == 11_520


def test_quantised_weights_stay_as_they_are(tmp_path):
    path = folder(tmp_path, LLAMA, q=("I32", [100], 400), scale=("F16", [10], 20))
    found = facts.read(path)
    assert (found.floats, found.other_bytes) == (10, 400)
    assert found.weight_bytes("float32") == 440
    assert "of other formats" in facts.weights_in_words(found, "auto")


def test_only_the_shards_that_the_index_names_are_counted(tmp_path):
    write_weights(tmp_path / "one.safetensors", a=("F32", [3], 12))
    write_weights(tmp_path / "two.safetensors", b=("F32", [4], 16))
    write_weights(tmp_path / "consolidated.safetensors", c=("F32", [7], 28))
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert facts.read(folder(tmp_path, LLAMA)).floats == 7


def test_pickled_weights_are_as_many_as_their_file_is_long(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(bytes(2_000))
    found = facts.read(folder(tmp_path, {**LLAMA, "torch_dtype": "float16"}))
    assert (found.floats, found.weight_bytes("auto")) == (1_000, 2_000)


@pytest.mark.parametrize(
    ("config", "values"),
    [
        (LLAMA, 11_520),
        ({**LLAMA, "head_dim": 128}, 23_040),
        ({"n_embd": 768, "n_head": 12, "n_layer": 12}, 2 * 12 * 768),
        ({**LLAMA, "sliding_window": 4096}, None),
        ({**LLAMA, "sliding_window": 4096, "use_sliding_window": False}, 11_520),
        ({**LLAMA, "layer_types": ["full_attention"] * 30, "sliding_window": 512}, 11_520),
        ({**LLAMA, "layer_types": ["full_attention", "sliding_attention"]}, None),
        ({**LLAMA, "kv_lora_rank": 512}, None),
        ({"hidden_size": 1}, None),
        ({**LLAMA, "num_hidden_layers": "many"}, None),
    ],
)
def test_what_a_token_keeps_in_the_cache(config, values):
    assert facts.kv_values_per_token(config) == values


def test_the_text_part_of_a_model_that_also_sees_is_taken(tmp_path):
    path = folder(tmp_path, {"text_config": LLAMA}, a=("BF16", [2], 4))
    assert facts.read(path).kv_values_per_token == 11_520


@pytest.mark.parametrize(
    "content",
    [b"", b"\x05", b"\xff" * 8, struct.pack("<Q", 4) + b"nope", struct.pack("<Q", 2) + b"[]"],
)
def test_a_damaged_file_is_unknown_and_no_error(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)
    assert facts.read(folder(tmp_path, LLAMA)) is None


@settings(max_examples=40)
@given(st.binary(max_size=300))
def test_no_bytes_are_an_error(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("model")
    (path / "model.safetensors").write_bytes(content)
    facts.read(folder(path, LLAMA))


@settings(max_examples=40)
@given(st.recursive(st.none() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.sampled_from([*LLAMA, "text_config", "dtype", "layer_types"]), x)))  # fmt: skip
def test_no_configuration_is_an_error(tmp_path_factory, config):
    facts.read(folder(tmp_path_factory.mktemp("model"), config, a=("F32", [1], 4)))


@pytest.mark.parametrize("model", [None, "Nobody/has-this", "no id/at/all", "", "/nowhere/at/all"])
def test_a_model_that_is_not_here_is_unknown(model, monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert facts.read(model) is None


def test_a_hugging_face_id_is_found_among_what_was_downloaded(monkeypatch, tmp_path):
    repository = tmp_path / "models--some--model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("abc")
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    folder(snapshot, LLAMA, a=("F32", [8], 32))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert facts.read("some/model").floats == 8
