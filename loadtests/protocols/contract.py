"""What a streaming protocol is: pure functions between prompts, bytes and meaning."""

import re
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


def surely_content(content: re.Pattern[bytes]) -> Callable[[bytes], bool]:
    """The quick test of events of JSON that carry content if they match, and are no error."""
    search = content.search
    # A quote inside a text is escaped, so a text that speaks of errors is no such key.
    return lambda payload: search(payload) is not None and b'"error"' not in payload


Message = dict[str, str]
"""One message of a conversation, as the OpenAI API has it: `role` and `content`."""


@dataclass(frozen=True)
class Target:
    """What a load test found at the server: the model to ask for, and in which dialect."""

    model: str
    dialect: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """What one request asks for: `output_tokens` exactly, where the server lets us insist.

    With `exact` false it is the most. `dialect` is one of the protocol's own. `history` is what
    was said before, where the protocol is one of conversations.
    """

    model: str
    prompt: str
    output_tokens: int
    exact: bool = True
    dialect: str = ""
    history: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """What one event says. Token counts are the server's own; `None` if it gave none.

    `text` is the content it adds (reasoning included); empty for a role-only chunk.
    `prompt_tokens` and `output_tokens` are cumulative, `own_tokens` is how many this event alone
    carries. `finished` means that the server said the answer is complete.
    """

    text: str = ""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    own_tokens: int | None = None
    error: str | None = None
    finished: bool = False


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How to read a streamed answer, whatever carried it.

    `surely_content` is the quick test of the bulk of the events: true only if the event certainly
    carries content; what it does not recognise is given to `read`, which raises `ValueError` on
    an event it cannot read. `error_text` finds the message in the body of a failed answer.
    `must_finish`: a stream that ends without any event saying so was cut off.
    """

    name: str
    surely_content: Callable[[bytes], bool]
    read: Callable[[bytes], Chunk]
    error_text: Callable[[Any], str | None]
    must_finish: bool


@dataclass(frozen=True, kw_only=True)
class HttpProtocol(Protocol):
    """How to ask for one over HTTP.

    `path` gives the URL path for a model; `body` the JSON to post. `dialects` are ways to write
    it, from the one that asks for most to one that any server takes. `names_model`: the request
    says which model it means; without that a server answers with the one it has. `models_path`
    lists models (GET unless `models_body` is given) and `model_names` reads the listing.
    `health_path` answers 200 and JSON where the protocol is spoken.
    """

    path: Callable[[str], str]
    body: Callable[[Ask], dict[str, Any]]
    health_path: str
    models_path: str
    model_names: Callable[[Any], list[str]]
    models_body: Mapping[str, Any] | None = None
    names_model: bool = True
    dialects: tuple[str, ...] = ("",)
