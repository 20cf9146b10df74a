"""What a request asks for, in any of the protocols. Pure: path and body in, an `Ask` out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import unquote

MODEL = "reference"
DEFAULT_TOKENS = 100
MOST_TOKENS = 100_000

Style = Literal["chat", "completion", "kserve", "generate"]


class Refused(Exception):
    """The request cannot be answered: an HTTP status and what to say."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Ask:
    """An answer asked for. `prompt_tokens` counts words: there is no tokenizer here.

    `usage` and `running_usage`: counts at the end of the stream, on every chunk of it.
    """

    style: Style
    stream: bool
    tokens: int
    prompt_tokens: int
    usage: bool = False
    running_usage: bool = False


def is_generation(path: str) -> bool:
    """Whether a POST to this path asks for an answer."""
    return path in _OPENAI or path in _TGI or _kserve_model(path) is not None


def read_ask(path: str, body: bytes) -> Ask:
    """The ask in `body`. Raises `Refused` with 400 or 404 as the engines do."""
    try:
        document = json.loads(body)
    except ValueError as error:
        raise Refused(400, f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise Refused(400, "the body is not a JSON object")
    if path in _OPENAI:
        return _openai(_OPENAI[path], document)
    if path in _TGI:
        return _tgi(document, stream=path.endswith("_stream"))
    return _kserve(path, document)


_OPENAI: dict[str, Style] = {"/v1/chat/completions": "chat", "/v1/completions": "completion"}
_TGI = ("/generate", "/generate_stream")


def _openai(style: Style, document: dict[str, Any]) -> Ask:
    _check_model(document.get("model", MODEL))
    options = document.get("stream_options") or {}
    if not isinstance(options, dict):
        raise Refused(400, "stream_options is not an object")
    asked = document.get("max_completion_tokens") or document.get("max_tokens")
    prompt = document.get("messages") if style == "chat" else document.get("prompt")
    return Ask(
        style,
        stream=bool(document.get("stream")),
        tokens=_tokens(asked),
        prompt_tokens=_words(prompt),
        usage=bool(options.get("include_usage")),
        running_usage=bool(options.get("include_usage") and options.get("continuous_usage_stats")),
    )


def _tgi(document: dict[str, Any], stream: bool) -> Ask:
    parameters = document.get("parameters") or {}
    if not isinstance(parameters, dict) or not isinstance(document.get("inputs"), str):
        raise Refused(422, "inputs must be a text, and parameters an object")
    tokens = _tokens(parameters.get("max_new_tokens"))
    return Ask("generate", stream, tokens, _words(document["inputs"]))


def _kserve(path: str, document: dict[str, Any]) -> Ask:
    _check_model(_kserve_model(path))
    parameters = document.get("parameters") or {}
    asked = document.get("max_tokens") or (
        parameters.get("max_tokens") if isinstance(parameters, dict) else None
    )
    tokens = _tokens(asked)
    return Ask("kserve", path.endswith("_stream"), tokens, _words(document.get("text_input")))


def _kserve_model(path: str) -> str | None:
    parts = path.split("/")
    if parts[1:3] == ["v2", "models"] and parts[-1] in ("generate", "generate_stream"):
        return unquote(parts[3]) if len(parts) in (5, 7) else None
    return None


def _check_model(name: object) -> None:
    if name != MODEL:
        raise Refused(404, f"The model `{name}` does not exist; there is `{MODEL}`.")


def _tokens(asked: object) -> int:
    if asked is None:
        return DEFAULT_TOKENS
    if isinstance(asked, bool) or not isinstance(asked, int) or not 1 <= asked <= MOST_TOKENS:
        raise Refused(400, f"tokens must be a whole number from 1 to {MOST_TOKENS}")
    return asked


def _words(prompt: object) -> int:
    """Words of a prompt, be it a text, token ids, or messages of texts or parts."""
    if isinstance(prompt, str):
        return len(prompt.split())
    if isinstance(prompt, dict):
        return _words(prompt.get("content") or prompt.get("text"))
    if isinstance(prompt, list):
        return sum(1 if isinstance(part, int) else _words(part) for part in prompt)
    return 0
