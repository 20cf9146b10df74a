"""KServe v2 streaming over gRPC: `ModelStreamInfer`, Triton's extension for decoupled models.

Source: triton-inference-server/common, `protobuf/grpc_service.proto`, and the server's
`docs/protocol/extension_generate.md` for the tensors of a language model: `text_input` and
`max_tokens`, `temperature`, `ignore_eos`, `stream` in (as parameters where the model does not
declare them); `text_output` and, where it gives them, `output_tokens`, `prompt_tokens`,
`finish_reason` out.

One stream carries one request after another: responses bear the id of their request, and the
parameter `triton_final_response` ends each answer. An event is one serialised
`ModelStreamInferResponse`.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from loadtests.errors import StreamError
from loadtests.protocols.contract import Ask, Chunk, Protocol, token_count

_LENGTH = struct.Struct("<I")
_COUNTS = {"INT32": struct.Struct("<i"), "INT64": struct.Struct("<q")}
# Where the protocol buffer keeps values of each type.
_FIELDS = {
    "BYTES": "bytes_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT32": "uint_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BOOL": "bool_contents",
}


@cache
def messages() -> Any:
    """The protocol's messages, as tritonclient ships them. Imported late: it brings gRPC along."""
    from tritonclient.grpc import service_pb2

    return service_pb2


@dataclass(frozen=True)
class Tensor:
    """One input as the model declares it; `rank` counts its dimensions."""

    datatype: str
    rank: int


@dataclass(frozen=True, slots=True)
class Request:
    """One request ready to be sent: its id, and the serialised message."""

    id: str
    message: bytes


def request(ask: Ask, request_id: str, inputs: Mapping[str, Tensor]) -> Request:
    """The request for `ask` to a model that declares these `inputs`.

    What it does not declare goes as a parameter of the request, as Triton's generate extension
    does over HTTP (vLLM's backend takes its sampling parameters so); a model may ignore them.

    Raises:
        StreamError: `no_text_input`, or an input of a type that the values do not have.
    """
    if "text_input" not in inputs:
        takes = ", ".join(inputs) or "no inputs"
        raise StreamError("no_text_input", f"model {ask.model!r} takes {takes}, and no text_input")
    message = messages().ModelInferRequest(model_name=ask.model, id=request_id)
    values: dict[str, bool | int | float | bytes] = {
        "text_input": ask.prompt.encode(),
        "max_tokens": ask.output_tokens,
        "temperature": 0.0,
        "ignore_eos": ask.exact,
        "stream": True,
    }
    for name, value in values.items():
        tensor = inputs.get(name)
        if tensor is None:
            _add_parameter(message.parameters[name], value)
            continue
        try:
            contents = message.inputs.add(
                name=name, datatype=tensor.datatype, shape=[1] * tensor.rank
            ).contents
            getattr(contents, _FIELDS[tensor.datatype]).append(value)
        except (KeyError, TypeError):
            raise StreamError(
                "input_type", f"model {ask.model!r} wants {name} as {tensor.datatype}"
            ) from None
    message.parameters["triton_enable_empty_final_response"].bool_param = True
    return Request(request_id, message.SerializeToString())


def _add_parameter(parameter: Any, value: bool | int | float | bytes) -> None:
    if isinstance(value, bool):
        parameter.bool_param = value
    elif isinstance(value, int):
        parameter.int64_param = value
    elif isinstance(value, float):
        parameter.double_param = value
    else:
        parameter.string_param = value.decode()


def parse(payload: bytes) -> Any:
    """The `ModelStreamInferResponse` in these bytes; `ValueError` if they hold none."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return messages().ModelStreamInferResponse.FromString(payload)
    except DecodeError as error:
        raise ValueError(str(error)) from None


def is_final(message: Any) -> bool:
    """Whether nothing follows this response to its request."""
    return bool(message.infer_response.parameters["triton_final_response"].bool_param)


def read(payload: bytes) -> Chunk:
    """Read one response of the model."""
    message = parse(payload)
    if message.error_message:
        return Chunk(error=message.error_message)
    response = message.infer_response
    found = {
        output.name: (output.datatype, raw)
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True)
    }
    return Chunk(
        text=_text(found.get("text_output")),
        prompt_tokens=_count(found.get("prompt_tokens"), "prompt_tokens"),
        output_tokens=_count(found.get("output_tokens"), "output_tokens"),
        finished=is_final(message),
    )


def _text(tensor: tuple[str, bytes] | None) -> str:
    """All strings of a BYTES tensor: each is its length and its UTF-8."""
    if tensor is None:
        return ""
    raw, at, parts = tensor[1], 0, []
    while at < len(raw):
        (length,) = _LENGTH.unpack_from(raw, at) if at + 4 <= len(raw) else (len(raw),)
        at += 4 + length
        if at > len(raw):
            raise ValueError("text_output is shorter than it says")
        parts.append(raw[at - length : at])
    return b"".join(parts).decode("utf-8", "replace")


def _count(tensor: tuple[str, bytes] | None, name: str) -> int | None:
    if tensor is None:
        return None
    layout = _COUNTS.get(tensor[0])
    if layout is None or len(tensor[1]) != layout.size:
        raise ValueError(f"{name} is no INT32 or INT64 of one element")
    return token_count(layout.unpack(tensor[1])[0], name)


def _surely_content(payload: bytes) -> bool:
    try:
        return bool(read(payload).text)
    except ValueError:
        return False


KSERVE_GRPC = Protocol(
    name="kserve-grpc",
    surely_content=_surely_content,
    read=read,
    error_text=lambda document: None,
    must_finish=True,
)
