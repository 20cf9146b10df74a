"""Knobs to `config.pbtxt`, read back by Triton's own schema."""

from pathlib import Path

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

from servers import knobs
from servers.errors import ServerError
from servers.triton import ENGINE, pbtxt, python_models, repository

DEFAULTS = knobs.parse(ENGINE, [])


def parsed(text: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_the_classifiers_config_is_this_text():
    assert (
        python_models.classifier_config(DEFAULTS)
        == """\
name: "text_classifier"
backend: "python"
max_batch_size: 64
input [
  { name: "input_ids" data_type: TYPE_INT64 dims: [ -1 ] allow_ragged_batch: true },
  { name: "attention_mask" data_type: TYPE_INT64 dims: [ -1 ] allow_ragged_batch: true }
]
output [
  { name: "logits" data_type: TYPE_FP32 dims: [ 2 ] }
]
dynamic_batching {
  preferred_batch_size: [ 8, 16, 32 ]
  max_queue_delay_microseconds: 5000
}
instance_group [ { count: 2 kind: KIND_CPU } ]
parameters { key: "threads" value: { string_value: "1" } }
"""
    )


def test_without_dynamic_batching_there_is_no_such_block():
    config = parsed(python_models.classifier_config({**DEFAULTS, "dynamic_batching": False}))
    assert not config.HasField("dynamic_batching")


def test_without_ragged_batches_the_inputs_say_nothing_of_them():
    config = parsed(python_models.classifier_config({**DEFAULTS, "allow_ragged_batch": False}))
    assert [one.allow_ragged_batch for one in config.input] == [False, False]


def test_no_preferred_sizes_leaves_the_choice_to_the_delay():
    config = parsed(python_models.classifier_config({**DEFAULTS, "preferred_batch_sizes": ()}))
    assert list(config.dynamic_batching.preferred_batch_size) == []
    assert config.dynamic_batching.max_queue_delay_microseconds == 5_000


def test_a_preferred_size_above_the_largest_batch_is_refused_before_triton_would():
    settings = knobs.parse(ENGINE, ["max_batch_size=16"])
    with pytest.raises(ServerError, match="preferred_batch_sizes has 32, more than") as error:
        python_models.classifier_config(settings)
    assert "max_batch_size" in str(error.value)


def test_the_language_model_is_decoupled_and_left_unbatched_by_triton():
    config = parsed(python_models.llm_config(DEFAULTS, "/models/a b", "cpu"))
    assert config.model_transaction_policy.decoupled
    assert config.max_batch_size == 0
    assert [(one.name, one.optional) for one in config.input] == [
        ("text_input", False),
        ("max_tokens", True),
        ("temperature", True),
        ("ignore_eos", True),
        ("stream", True),
    ]
    assert config.parameters["model"].string_value == "/models/a b"
    assert config.parameters["max_num_seqs"].string_value == "16"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_survives_as_a_string_literal(text):
    config = parsed(f"name: {pbtxt.text(text)}")
    assert config.name == text


@st.composite
def all_settings(draw):
    """Any values the knobs allow."""
    values = {}
    for knob in ENGINE.knobs:
        low, high = int(knob.minimum or 0), int(knob.maximum or 0)
        values[knob.name] = draw(
            {
                "int": st.integers(low, high),
                "float": st.none() | st.floats(knob.minimum, knob.maximum),
                "bool": st.booleans(),
                "str": st.sampled_from(knob.choices or ("x",)),
                "ints": st.lists(st.integers(low, 64), max_size=5).map(tuple),
            }[knob.kind]
        )
    return knobs.complete(ENGINE, values)


@given(all_settings(), st.text(st.characters(exclude_categories=["Cs"])))
def test_every_setting_gives_configs_triton_can_read_with_the_values_in_them(settings, model):
    try:
        models = python_models.models(settings, model, None, "cpu")
    except ServerError:
        sizes = settings["preferred_batch_sizes"]
        assert max(sizes) > settings["max_batch_size"]
        return
    configs = {name: one.texts["config.pbtxt"] for name, one in models.items()}
    expected = {"both": {"llm", "text_classifier"}}.get(settings["models"], {settings["models"]})
    assert set(configs) == expected
    if "llm" in configs:
        config = parsed(configs["llm"])
        assert config.parameters["model"].string_value == model
        for name in python_models.LLM_KNOBS:
            assert config.parameters[name].string_value == str(settings[name])
    if "text_classifier" in configs:
        config = parsed(configs["text_classifier"])
        assert config.max_batch_size == settings["max_batch_size"]
        assert {one.allow_ragged_batch for one in config.input} == {settings["allow_ragged_batch"]}
        assert config.instance_group[0].count == settings["instances"]
        if settings["dynamic_batching"]:
            batching = config.dynamic_batching
            assert tuple(batching.preferred_batch_size) == settings["preferred_batch_sizes"]
            assert batching.max_queue_delay_microseconds == settings["max_queue_delay_us"]


def test_writing_the_repository_again_leaves_only_the_models_asked_for(tmp_path):
    graph = tmp_path / "model.onnx"
    graph.write_bytes(b"graph")
    copies = {"1/model.onnx": graph}
    one = {
        "llm": repository.Model({"config.pbtxt": "a"}, {}),
        "text_classifier": repository.Model({"config.pbtxt": "b"}, copies),
    }
    other = {"text_classifier": repository.Model({"config.pbtxt": "c", "1/m.json": "{}"}, copies)}
    folder = tmp_path / "repository"
    repository.write(folder, one)
    repository.write(folder, other)
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == [
        "text_classifier/1/m.json",
        "text_classifier/1/model.onnx",
        "text_classifier/config.pbtxt",
    ]
    assert (folder / "text_classifier" / "config.pbtxt").read_text() == "c"
    assert not any(path.is_symlink() for path in folder.rglob("*"))


def test_each_model_has_its_own_code_and_what_both_share():
    models = python_models.models(DEFAULTS, "/models/m", Path("/models/classifier"), "cpu")
    assert set(models["text_classifier"].copies) == {
        "1/model.onnx",
        "1/model.py",
        "1/numpy_check.py",
    }
    of_llm = {"1/model.py", "1/batcher.py", "1/numpy_check.py", "1/generating.py"}
    assert of_llm <= set(models["llm"].copies)
    assert all(path.is_file() for path in models["llm"].copies.values())
