"""What a streamed request over gRPC holds, by what the model says it takes."""

import pytest

from loadtests.errors import StreamError
from loadtests.protocols.contract import Ask
from loadtests.protocols.kserve_grpc import Tensor, messages, request

OWN = {
    "text_input": Tensor("BYTES", 1),
    "max_tokens": Tensor("INT32", 1),
    "temperature": Tensor("FP32", 1),
    "ignore_eos": Tensor("BOOL", 1),
    "stream": Tensor("BOOL", 1),
}
# What the vLLM backend of NVIDIA's image declares, of those.
VLLM = {"text_input": Tensor("BYTES", 1), "stream": Tensor("BOOL", 1)}


def sent(inputs):
    written = request(Ask("llm", "Hi", 7), "id-1", inputs)
    return messages().ModelInferRequest.FromString(written.message)


def test_what_the_model_declares_goes_as_tensors():
    message = sent(OWN)
    assert {one.name for one in message.inputs} == set(OWN)
    assert list(message.parameters) == ["triton_enable_empty_final_response"]


def test_what_it_does_not_declare_goes_as_parameters_so_that_lengths_are_kept():
    message = sent(VLLM)
    assert {one.name for one in message.inputs} == {"text_input", "stream"}
    assert message.parameters["max_tokens"].int64_param == 7
    assert message.parameters["temperature"].WhichOneof("parameter_choice") == "double_param"
    assert message.parameters["ignore_eos"].WhichOneof("parameter_choice") == "bool_param"


def test_a_model_without_a_text_input_is_named_with_what_it_takes():
    with pytest.raises(StreamError, match="takes input_ids, and no text_input"):
        request(Ask("text_classifier", "Hi", 7), "id-1", {"input_ids": Tensor("INT64", 2)})
