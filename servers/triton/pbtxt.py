"""Pieces of `config.pbtxt`, Triton's model configuration.

The grammar is protobuf's text format of Triton's `ModelConfig` message
(https://github.com/triton-inference-server/common, `protobuf/model_config.proto`).
"""

from collections.abc import Mapping

from servers.contract import Value
from servers.errors import ServerError


def text(value: object) -> str:
    """A protobuf text-format string literal: quoted, all but printable ASCII escaped."""
    escaped = "".join(
        f"\\{byte:03o}" if byte < 0x20 or byte >= 0x7F or byte in b'"\\' else chr(byte)
        for byte in str(value).encode()
    )
    return f'"{escaped}"'


def tensor(name: str, kind: str, dims: str, extra: str = "") -> str:
    """One input or output; `extra` are further fields, such as `optional: true`."""
    return f"  {{ name: {text(name)} data_type: {kind} dims: [ {dims} ]{extra and ' ' + extra} }}"


def tensors(field: str, members: list[str]) -> list[str]:
    """The field `input` or `output` with these tensors."""
    return [f"{field} [", *(f"{one}," for one in members[:-1]), members[-1], "]"]


def parameters(values: Mapping[str, object]) -> list[str]:
    """The model's own parameters, all of them strings."""
    return [
        f"parameters {{ key: {text(key)} value: {{ string_value: {text(value)} }} }}"
        for key, value in values.items()
    ]


def dynamic_batching(settings: Mapping[str, Value]) -> list[str]:
    """Triton's batching in front of a model, or nothing if it is off.

    Raises `ServerError` when a preferred batch size is larger than `max_batch_size`.
    """
    if not settings["dynamic_batching"]:
        return []
    sizes = ", ".join(map(str, _preferred(settings)))
    return [
        "dynamic_batching {",
        *([f"  preferred_batch_size: [ {sizes} ]"] if sizes else []),
        f"  max_queue_delay_microseconds: {settings['max_queue_delay_us']}",
        "}",
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
