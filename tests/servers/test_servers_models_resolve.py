"""What may be given as a model, and what is said about what may not."""

import json
from pathlib import Path

import pytest

from servers.errors import ServerError
from servers.models import resolve, resolve_llm


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the files a model has; nothing here reads the weights."""
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    return tmp_path


def test_a_whole_folder_is_taken_by_its_absolute_path(folder, monkeypatch):
    monkeypatch.chdir(folder.parent)
    assert resolve_llm(folder.name) == str(folder.resolve())


@pytest.mark.parametrize(
    ("absent", "named"),
    [
        ("config.json", "config.json"),
        ("tokenizer.json", "tokenizer"),
        ("model.safetensors", "weights"),
    ],
)
def test_a_folder_that_lacks_a_part_is_refused_by_that_part(folder, absent, named):
    (folder / absent).unlink()
    with pytest.raises(ServerError, match=f"lacks: .*{named}") as caught:
        resolve_llm(str(folder))
    assert str(folder) in str(caught.value)


def test_an_empty_folder_is_told_everything_at_once(tmp_path):
    with pytest.raises(ServerError, match=r"config\.json; weights .*; a tokenizer"):
        resolve_llm(str(tmp_path))


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_config_that_says_nothing_is_refused(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(ServerError, match=r"config\.json"):
        resolve_llm(str(folder))


def test_a_shard_that_an_index_names_must_be_there(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model-1.safetensors").write_bytes(b"")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ServerError, match=r"the weights model-2\.safetensors that"):
        resolve_llm(str(folder))


@pytest.mark.parametrize("name", ["Qwen/Qwen2.5-0.5B-Instruct", "HuggingFaceTB/SmolLM2-135M"])
def test_a_hugging_face_id_is_kept(name):
    assert resolve_llm(name) == name


@pytest.mark.parametrize("name", ["", "gpt", "./nothing/here", "/no/such/folder", "a/b/c", "a b/c"])
def test_anything_else_is_refused_with_what_is_accepted(name):
    with pytest.raises(ServerError, match="Accepted are") as caught:
        resolve_llm(name)
    assert repr(name) in str(caught.value)


def test_a_file_is_no_model(folder):
    with pytest.raises(ServerError, match="is a file, not a folder"):
        resolve_llm(str(folder / "config.json"))


@pytest.mark.parametrize(("name", "made"), [(None, "smollm2"), ("tiny", "tiny_llama")])
def test_the_labs_own_models_are_made_on_demand(monkeypatch, name, made):
    monkeypatch.setattr(resolve, made, lambda say: Path("/models") / made)
    assert resolve_llm(name) == f"/models/{made}"
