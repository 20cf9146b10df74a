"""A chat request as OpenAI's API has it, and what the engine gets of it: tokens and sampling."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator
from vllm import SamplingParams
from vllm.inputs import TokensInput, tokens_input
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine.async_llm import AsyncLLM

from servers.vllm.inside.chat import chat_tokens
from servers.vllm_fastapi.inside.errors import Refused


class TextPart(BaseModel):
    """A piece of a message; this server takes text only."""

    type: Literal["text"]
    text: str


class Message(BaseModel):
    """One turn of the conversation."""

    role: Literal["system", "user", "assistant"]
    content: str | list[TextPart]

    def text(self) -> str:
        """The message as one text."""
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


class StreamOptions(BaseModel):
    """`include_usage`: a last chunk that counts. `continuous_usage_stats`: a count on every one.

    The second is vLLM's own; with it a client knows how many tokens a chunk holds.
    """

    include_usage: bool = False
    continuous_usage_stats: bool = False


class ChatRequest(BaseModel):
    """The body of `POST /v1/chat/completions`. Fields it does not know are passed over.

    `ignore_eos` and `min_tokens` are vLLM's extensions, for answers of an exact length.
    """

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    stream: bool = False
    stream_options: StreamOptions | None = None
    max_completion_tokens: Annotated[int | None, Field(ge=1)] = None
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    min_tokens: Annotated[int | None, Field(ge=0)] = None
    ignore_eos: bool | None = None
    temperature: Annotated[float | None, Field(ge=0, le=2)] = None
    top_p: Annotated[float | None, Field(gt=0, le=1)] = None
    presence_penalty: Annotated[float | None, Field(ge=-2, le=2)] = None
    frequency_penalty: Annotated[float | None, Field(ge=-2, le=2)] = None
    seed: Annotated[int | None, Field(ge=-(2**63), lt=2**63)] = None
    stop: str | list[str] | None = None
    n: Literal[1] | None = None

    @model_validator(mode="after")
    def _options_belong_to_streams(self) -> "ChatRequest":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options may be given only if stream is true")
        return self

    @property
    def most_tokens(self) -> int | None:
        """The longest answer asked for, under its new name or its old one."""
        return self.max_completion_tokens or self.max_tokens


_SAMPLING = (
    "min_tokens", "ignore_eos", "temperature", "top_p", "presence_penalty", "frequency_penalty",
    "seed", "stop",
)  # fmt: skip


class Conversation:
    """Turns requests into what the engine takes. The model brings the template and defaults."""

    def __init__(self, engine: AsyncLLM) -> None:
        self._tokenizer = engine.get_tokenizer()
        self._max_model_len = engine.model_config.max_model_len
        self._defaults = engine.model_config.get_diff_sampling_param()

    def prompt(self, asked: ChatRequest) -> TokensInput:
        """The conversation as tokens, in the model's own chat template."""
        messages = [{"role": one.role, "content": one.text()} for one in asked.messages]
        try:
            return tokens_input(chat_tokens(self._tokenizer, messages))
        except Exception as error:
            raise Refused(f"The model's chat template refuses these messages: {error}") from error

    def sampling(self, asked: ChatRequest, prompt_tokens: int) -> SamplingParams:
        """How the answer is drawn; raises `Refused` if prompt and answer are too long together."""
        room = self._max_model_len - prompt_tokens
        if room < 1 or (asked.most_tokens or 1) > room:
            raise Refused(
                f"This model's maximum context length is {self._max_model_len} tokens. The "
                f"messages are {prompt_tokens} and {asked.most_tokens or 'at least 1'} were asked "
                "for the answer: shorten the one or the other.",
                code="context_length_exceeded",
            )
        given = {name: getattr(asked, name) for name in _SAMPLING}
        chosen = {name: value for name, value in given.items() if value is not None}
        kind = RequestOutputKind.DELTA if asked.stream else RequestOutputKind.FINAL_ONLY
        return SamplingParams(
            **{**self._defaults, **chosen, "max_tokens": asked.most_tokens or room},
            output_kind=kind,
        )
