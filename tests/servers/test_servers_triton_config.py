"""Knobs to `config.pbtxt`, read back by Triton's own schema."""

import pytest
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

from servers import knobs
from servers.errors import ServerError
from servers.triton import ENGINE, repository

DEFAULTS = knobs.parse(ENGINE, [])


def parsed(text: str) -> model_config_pb2.ModelConfig:
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def test_the_classifiers_config_is_this_text():
    assert (
        repository.classifier_config(DEFAULTS)
        == """\
name: "text_classifier"
backend: "python"
max_batch_size: 64
input [
  { name: "input_ids" data_type: TYPE_INT64 dims: [ -1 ] },
  { name: "attention_mask" data_type: TYPE_INT64 dims: [ -1 ] }
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
    config = parsed(repository.classifier_config({**DEFAULTS, "dynamic_batching": False}))
    assert not config.HasField("dynamic_batching")


def test_no_preferred_sizes_leaves_the_choice_to_the_delay():
    config = parsed(repository.classifier_config({**DEFAULTS, "preferred_batch_sizes": ()}))
    assert list(config.dynamic_batching.preferred_batch_size) == []
    assert config.dynamic_batching.max_queue_delay_microseconds == 5_000


def test_a_preferred_size_above_the_largest_batch_is_refused_before_triton_would():
    settings = knobs.parse(ENGINE, ["max_batch_size=16"])
    with pytest.raises(ServerError, match="preferred_batch_sizes has 32, more than") as error:
        repository.classifier_config(settings)
    assert "max_batch_size" in str(error.value)


def test_the_language_model_is_decoupled_and_left_unbatched_by_triton():
    config = parsed(repository.llm_config(DEFAULTS, "/models/a b", "cpu"))
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
    config = parsed(f"name: {repository.text(text)}")
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
                "bool": st.booleans(),
                "str": st.sampled_from(knob.choices or ("x",)),
                "ints": st.lists(st.integers(low, 64), max_size=5).map(tuple),
            }[knob.kind]
        )
    return knobs.complete(ENGINE, values)


@given(all_settings(), st.text(st.characters(exclude_categories=["Cs"])))
def test_every_setting_gives_configs_triton_can_read_with_the_values_in_them(settings, model):
    try:
        configs = repository.configs(settings, model, "cpu")
    except ServerError:
        sizes = settings["preferred_batch_sizes"]
        assert max(sizes) > settings["max_batch_size"]
        return
    expected = {"both": {"llm", "text_classifier"}}.get(settings["models"], {settings["models"]})
    assert set(configs) == expected
    if "llm" in configs:
        config = parsed(configs["llm"])
        assert config.parameters["model"].string_value == model
        for name in repository.LLM_KNOBS:
            assert config.parameters[name].string_value == str(settings[name])
    if "text_classifier" in configs:
        config = parsed(configs["text_classifier"])
        assert config.max_batch_size == settings["max_batch_size"]
        assert config.instance_group[0].count == settings["instances"]
        if settings["dynamic_batching"]:
            batching = config.dynamic_batching
            assert tuple(batching.preferred_batch_size) == settings["preferred_batch_sizes"]
            assert batching.max_queue_delay_microseconds == settings["max_queue_delay_us"]


def test_writing_the_repository_again_leaves_only_the_models_asked_for(tmp_path):
    sources = tmp_path / "sources"
    for name in ("llm", "text_classifier"):
        (sources / name / "1").mkdir(parents=True)
        (sources / name / "1" / "model.py").write_text("pass\n")
    (sources / "shared").mkdir()
    (sources / "shared" / "common.py").write_text("pass\n")
    classifier = tmp_path / "classifier"
    classifier.mkdir()
    (classifier / "model.onnx").write_bytes(b"graph")
    folder = tmp_path / "repository"
    repository.write(folder, {"llm": "a", "text_classifier": "b"}, sources, classifier)
    repository.write(folder, {"text_classifier": "c"}, sources, classifier)
    found = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert found == [
        "text_classifier/1/common.py",
        "text_classifier/1/model.onnx",
        "text_classifier/1/model.py",
        "text_classifier/config.pbtxt",
    ]
    assert (folder / "text_classifier" / "config.pbtxt").read_text() == "c"
    assert not any(path.is_symlink() for path in folder.rglob("*"))
