"""Triton's model repository: knobs in, `config.pbtxt` text out (pure), and `write` for the disk.

The grammar is protobuf's text format of Triton's `ModelConfig` message
(https://github.com/triton-inference-server/common, `protobuf/model_config.proto`).
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from servers.contract import Device, Value
from servers.errors import ServerError
from servers.triton.layout import copy

CLASSIFIER = "text_classifier"
LLM = "llm"


def models(settings: Mapping[str, Value]) -> tuple[str, ...]:
    """The models these settings load."""
    chosen = settings["models"]
    return (LLM, CLASSIFIER) if chosen == "both" else (str(chosen),)


def text(value: object) -> str:
    """A protobuf text-format string literal: quoted, all but printable ASCII escaped."""
    escaped = "".join(
        f"\\{byte:03o}" if byte < 0x20 or byte >= 0x7F or byte in b'"\\' else chr(byte)
        for byte in str(value).encode()
    )
    return f'"{escaped}"'


def _tensor(name: str, kind: str, dims: str, *, optional: bool = False) -> str:
    extra = " optional: true" if optional else ""
    return f"  {{ name: {text(name)} data_type: {kind} dims: [ {dims} ]{extra} }}"


def _parameters(values: Mapping[str, object]) -> list[str]:
    return [
        f"parameters {{ key: {text(key)} value: {{ string_value: {text(value)} }} }}"
        for key, value in values.items()
    ]


def _preferred(settings: Mapping[str, Value]) -> tuple[int, ...]:
    """The preferred batch sizes, checked against `max_batch_size` as Triton would at start."""
    sizes = settings["preferred_batch_sizes"]
    largest = settings["max_batch_size"]
    assert isinstance(sizes, tuple) and isinstance(largest, int)
    too_large = [size for size in sizes if size > largest]
    if too_large:
        raise ServerError(
            f"triton: preferred_batch_sizes has {', '.join(map(str, too_large))}, more than "
            f"max_batch_size={largest}, and Triton would refuse to load the classifier. Raise "
            "max_batch_size or set smaller preferred_batch_sizes, for example "
            f"preferred_batch_sizes={largest}."
        )
    return sizes


def classifier_config(settings: Mapping[str, Value]) -> str:
    """`config.pbtxt` of `text_classifier`: token ids and mask in, two logits out.

    Inputs INT64 `input_ids` and `attention_mask` of shape [batch, tokens], output FP32 `logits`
    [batch, 2]. Triton joins only requests of equal token count into one batch.
    Raises `ServerError` when a preferred batch size is larger than `max_batch_size`.
    """
    lines = [
        f"name: {text(CLASSIFIER)}",
        'backend: "python"',
        f"max_batch_size: {settings['max_batch_size']}",
        "input [",
        _tensor("input_ids", "TYPE_INT64", "-1") + ",",
        _tensor("attention_mask", "TYPE_INT64", "-1"),
        "]",
        "output [",
        _tensor("logits", "TYPE_FP32", "2"),
        "]",
    ]
    if settings["dynamic_batching"]:
        sizes = ", ".join(map(str, _preferred(settings)))
        lines += [
            "dynamic_batching {",
            *([f"  preferred_batch_size: [ {sizes} ]"] if sizes else []),
            f"  max_queue_delay_microseconds: {settings['max_queue_delay_us']}",
            "}",
        ]
    lines += [
        f"instance_group [ {{ count: {settings['instances']} kind: KIND_CPU }} ]",
        *_parameters({"threads": settings["classifier_threads"]}),
    ]
    return "\n".join(lines) + "\n"


LLM_KNOBS = (
    "max_num_seqs",
    "max_num_batched_tokens",
    "max_model_len",
    "max_output_tokens",
    "dtype",
    "threads",
)


def llm_config(settings: Mapping[str, Value], model: str, device: Device) -> str:
    """`config.pbtxt` of `llm`: one request in, many responses out (decoupled), no Triton batching.

    The model batches by itself at every token (continuous batching), so Triton must hand over
    each request at once: `max_batch_size` 0 and one instance. `model` is a local folder or a
    Hugging Face id.
    """
    lines = [
        f"name: {text(LLM)}",
        'backend: "python"',
        "max_batch_size: 0",
        "model_transaction_policy { decoupled: true }",
        "input [",
        _tensor("text_input", "TYPE_STRING", "1") + ",",
        _tensor("max_tokens", "TYPE_INT32", "1", optional=True) + ",",
        _tensor("temperature", "TYPE_FP32", "1", optional=True) + ",",
        _tensor("ignore_eos", "TYPE_BOOL", "1", optional=True) + ",",
        _tensor("stream", "TYPE_BOOL", "1", optional=True),
        "]",
        "output [",
        _tensor("text_output", "TYPE_STRING", "1") + ",",
        _tensor("output_tokens", "TYPE_INT32", "1") + ",",
        _tensor("prompt_tokens", "TYPE_INT32", "1") + ",",
        _tensor("finish_reason", "TYPE_STRING", "1"),
        "]",
        "instance_group [ { count: 1 kind: KIND_CPU } ]",
        *_parameters(
            {"model": model, "device": device, **{name: settings[name] for name in LLM_KNOBS}}
        ),
    ]
    return "\n".join(lines) + "\n"


def configs(settings: Mapping[str, Value], model: str | None, device: Device) -> dict[str, str]:
    """`config.pbtxt` of every model these settings load, by the model's name.

    Raises `ServerError` for settings that contradict each other.
    """
    found = {}
    for name in models(settings):
        if name == CLASSIFIER:
            found[name] = classifier_config(settings)
        else:
            found[name] = llm_config(settings, model or "", device)
    return found


def write(folder: Path, configs: Mapping[str, str], sources: Path, classifier: Path | None) -> None:
    """Make `folder` the model repository of exactly these models; what else was there goes.

    `sources` holds the models' Python code, `classifier` the folder with `model.onnx`. Triton
    reads a repository once, at its start, so it may be rewritten for the next one.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for name, config in configs.items():
        version = folder / name / "1"
        version.mkdir(parents=True)
        own, shared = (sources / name / "1").glob("*.py"), (sources / "shared").glob("*.py")
        for path in sorted([*own, *shared]):
            copy(path, version / path.name)
        if name == CLASSIFIER and classifier is not None:
            copy(classifier / "model.onnx", version / "model.onnx")
        (folder / name / "config.pbtxt").write_text(config, encoding="utf-8")
