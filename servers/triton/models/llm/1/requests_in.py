"""What a request may ask, checked. Everything wrong with it is one `BadRequest`, never a crash."""

import math
from dataclasses import dataclass

DEFAULT_MAX_TOKENS = 16


class BadRequest(Exception):
    """The request's own fault; the message goes back to its sender."""


@dataclass(frozen=True)
class Limits:
    """The most a request may ask for, in tokens. `max_model_len` bounds prompt and answer."""

    max_model_len: int
    max_output_tokens: int


@dataclass(frozen=True)
class Asked:
    """A request's inputs as they came; `None` where it said nothing."""

    text: bytes
    max_tokens: int | None = None
    temperature: float | None = None
    ignore_eos: bool | None = None
    stream: bool | None = None


@dataclass(frozen=True)
class Checked:
    """A request that can be answered. `prompt` are token ids."""

    prompt: list
    max_tokens: int
    temperature: float
    ignore_eos: bool
    stream: bool


def check(asked, encode, limits):
    """`asked` with its defaults and its prompt encoded by `encode`; raises `BadRequest`."""
    try:
        text = asked.text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadRequest(f"text_input is not UTF-8 ({error})") from None
    max_tokens = DEFAULT_MAX_TOKENS if asked.max_tokens is None else asked.max_tokens
    if not 1 <= max_tokens <= limits.max_output_tokens:
        raise BadRequest(
            f"max_tokens is {max_tokens}; this server takes 1 to {limits.max_output_tokens}"
        )
    temperature = 0.0 if asked.temperature is None else asked.temperature
    if not (math.isfinite(temperature) and temperature >= 0):
        raise BadRequest(f"temperature is {temperature}; it must be 0 or a positive number")
    prompt = encode(text)
    if not prompt:
        raise BadRequest("text_input is empty: there is nothing to continue")
    if len(prompt) + max_tokens > limits.max_model_len:
        raise BadRequest(
            f"text_input has {len(prompt)} tokens and max_tokens is {max_tokens}; together they "
            f"may be at most {limits.max_model_len} (max_model_len)"
        )
    return Checked(
        prompt=prompt,
        max_tokens=max_tokens,
        temperature=temperature,
        ignore_eos=bool(asked.ignore_eos),
        stream=asked.stream is not False,
    )
