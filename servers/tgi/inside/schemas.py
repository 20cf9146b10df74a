"""The bodies of requests, with TGI's names and its numbers' ranges.

Strict, as TGI is: `"5"` is no number and `null` stands only where it may. Fields that are not
known are passed over. What a value means for this model is checked in `validation.py`.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

U32 = Annotated[int, Field(ge=0, le=2**32 - 1)]
I32 = Annotated[int, Field(ge=-(2**31), le=2**31 - 1)]
U64 = Annotated[int, Field(ge=0, le=2**64 - 1)]


class Body(BaseModel):
    """Strict, and no number is infinite."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class GenerateParameters(Body):
    """How an answer is generated. `None` leaves it to the model or the server."""

    adapter_id: str | None = None
    best_of: U32 | None = None
    decoder_input_details: bool = False
    details: bool = False  # TGI's document says true; TGI itself does not
    do_sample: bool = False
    frequency_penalty: float | None = None
    grammar: Any = None
    max_new_tokens: U32 | None = None
    repetition_penalty: float | None = None
    return_full_text: bool | None = None
    seed: U64 | None = None
    stop: list[str] = []
    temperature: float | None = None
    top_k: I32 | None = None
    top_n_tokens: U32 | None = None
    top_p: float | None = None
    truncate: U64 | None = None
    typical_p: float | None = None
    watermark: bool = False


class GenerateRequest(Body):
    """The body of `/generate`, `/generate_stream` and `/tokenize`."""

    inputs: str
    parameters: GenerateParameters = GenerateParameters()
    add_special_tokens: bool = True


class CompatGenerateRequest(GenerateRequest):
    """The body of `/`, which streams or not as it is asked."""

    stream: bool = False


class Kind(Body):
    """What tells the bodies apart that `/invocations` takes."""

    inputs: Any = None
    messages: Any = None
    prompt: Any = None


class StreamOptions(Body):
    """What a stream of the OpenAI API tells besides its text."""

    include_usage: bool = False


class Url(Body):
    """Where an image is."""

    url: str


class MessageChunk(Body):
    """A part of a message's content: text, or an image (which no model here can see)."""

    type: str
    text: str | None = None
    image_url: Url | None = None


class Message(Body):
    """One message of a conversation."""

    role: str
    content: str | list[MessageChunk] | None = None
    name: str | None = None
    tool_calls: list[dict[str, Any]] | None = None


class OpenAiRequest(Body):
    """What chat and completion requests share."""

    model: str | None = None
    max_tokens: U32 | None = None
    seed: U64 | None = None
    stop: list[str] | None = None
    stream: bool = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    frequency_penalty: float | None = None


class ChatRequest(OpenAiRequest):
    """The body of `/v1/chat/completions` and `/chat_tokenize`."""

    messages: list[Message]
    logit_bias: list[float] | None = None
    logprobs: bool | None = None
    n: U32 | None = None
    presence_penalty: float | None = None
    response_format: Any = None
    tool_choice: Any = None
    tool_prompt: str | None = None
    tools: list[Any] | None = None
    top_logprobs: U32 | None = None


class CompletionRequest(OpenAiRequest):
    """The body of `/v1/completions`. One prompt may stand without a list."""

    prompt: str | list[str]
    repetition_penalty: float | None = None
    suffix: str | None = None
