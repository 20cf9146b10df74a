"""What a streaming protocol is: pure functions between prompts, bytes and meaning."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_MOST_TOKENS = 2**31 - 1
"""What a record can hold; no engine has a context anywhere near it."""


def token_count(value: object, name: str) -> int | None:
    """A count as a server gave it under `name`; `None` if it gave none.

    Raises:
        ValueError: it is no whole number from 0 to 2**31 - 1.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
        raise ValueError(f"{name} is no whole number from 0 to {_MOST_TOKENS}")
    return value


@dataclass(frozen=True, slots=True)
class Ask:
    """What one request asks for: `output_tokens` exactly, where the server lets us insist."""

    model: str
    prompt: str
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one event says. Token counts are the server's own, cumulative; `None` if it gave none.

    `text` is the content it adds (reasoning included); empty for a role-only chunk. `finished`
    means that the server said the answer is complete.
    """

    text: str = ""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    error: str | None = None
    finished: bool = False


@dataclass(frozen=True)
class Protocol:
    """One way to ask a server for a streamed answer.

    `path` gives the URL path for a model; `body` the JSON to post. `surely_content` is the quick
    test of the bulk of the events: true only if the event certainly carries content; what it
    does not recognise is given to `read`, which raises `ValueError` on an event it cannot read.
    `error_text` finds the message in the body of a failed answer. `must_finish`: a stream that
    ends without any event saying so was cut off. `models_path` lists models (GET unless
    `models_body` is given) and `model_names` reads the listing. `health_path` answers 200 where
    the protocol is spoken.
    """

    name: str
    path: Callable[[str], str]
    body: Callable[[Ask], dict[str, Any]]
    surely_content: Callable[[bytes], bool]
    read: Callable[[bytes], Chunk]
    error_text: Callable[[Any], str | None]
    must_finish: bool
    health_path: str
    models_path: str
    model_names: Callable[[Any], list[str]]
    models_body: Mapping[str, Any] | None = None
