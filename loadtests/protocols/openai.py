"""The OpenAI API as vLLM, TGI and many others speak it: chat completions and completions.

Source: the OpenAI API reference and vLLM's `entrypoints/openai`. The output length is made exact
with `ignore_eos`, an extension that vLLM and others obey and that most servers pass over; what
was really generated is always counted from the server's `usage`. `continuous_usage_stats` puts
the running count on every chunk, so the tokens of the first chunk are known. A server that refuses
what it does not know is asked in the STANDARD dialect, which has no extension, or in the PLAIN
one, without `stream_options` too.
"""

import json
import re
from typing import Any

from loadtests.protocols.contract import Ask, Chunk, HttpProtocol, surely_content, token_count

STANDARD, PLAIN = "standard", "plain"

# Inside a JSON string a quote is escaped, so these keys cannot be part of generated text.
_content = re.compile(rb'"(?:content|reasoning_content|reasoning|text)": ?"[^"]')


def _common(ask: Ask) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": ask.model,
        "max_tokens": ask.output_tokens,
        "temperature": 0,
        "stream": True,
    }
    if ask.dialect == "":
        body["ignore_eos"] = ask.exact
        body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
    elif ask.dialect == STANDARD:
        body["stream_options"] = {"include_usage": True}
    return body


def _chat_body(ask: Ask) -> dict[str, Any]:
    messages = [*ask.history, {"role": "user", "content": ask.prompt}]
    return {**_common(ask), "messages": messages}


def _completions_body(ask: Ask) -> dict[str, Any]:
    return {**_common(ask), "prompt": ask.prompt}


def error_text(document: Any) -> str | None:
    """The message of an error document (`error`, `detail` or `message`); `None` if it is none."""
    if not isinstance(document, dict):
        return None
    error = document.get("error")
    if isinstance(error, dict):
        return str(error.get("message") or error)
    found = (
        error
        or document.get("detail")
        or (document.get("message") if "choices" not in document else None)
    )
    return str(found) if found else None


def read(payload: bytes) -> Chunk:
    """Read one event of either API. `data: [DONE]` is a chunk that only says finished."""
    if payload.strip() == b"[DONE]":
        return Chunk(finished=True)
    document = json.loads(payload)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    error = error_text(document)
    if error:
        return Chunk(error=error)
    usage = document.get("usage") or {}
    choices = document.get("choices") or [{}]
    delta = choices[0].get("delta") or choices[0]
    # One thing under two names: some servers send both.
    reasoning = delta.get("reasoning_content") or delta.get("reasoning") or ""
    return Chunk(
        text="".join((reasoning, delta.get("content") or "", delta.get("text") or "")),
        prompt_tokens=token_count(usage.get("prompt_tokens"), "prompt_tokens"),
        output_tokens=token_count(usage.get("completion_tokens"), "completion_tokens"),
        finished=choices[0].get("finish_reason") is not None,
    )


def reply(payload: bytes) -> str:
    """What an event of a good chat answer adds to the answer itself: no reasoning.

    That is what a history keeps: chat templates drop the reasoning of earlier turns.
    """
    if payload.strip() == b"[DONE]":
        return ""
    choices = json.loads(payload).get("choices") or [{}]
    return str((choices[0].get("delta") or {}).get("content") or "")


def _model_names(document: Any) -> list[str]:
    return [str(model["id"]) for model in document["data"]]


CHAT = HttpProtocol(
    name="openai-chat",
    path=lambda model: "/v1/chat/completions",
    body=_chat_body,
    surely_content=surely_content(_content),
    read=read,
    error_text=error_text,
    must_finish=True,
    health_path="/v1/models",
    models_path="/v1/models",
    model_names=_model_names,
    dialects=("", STANDARD, PLAIN),
)
COMPLETIONS = HttpProtocol(
    name="openai-completions",
    path=lambda model: "/v1/completions",
    body=_completions_body,
    surely_content=CHAT.surely_content,
    read=read,
    error_text=error_text,
    must_finish=True,
    health_path="/v1/models",
    models_path="/v1/models",
    model_names=_model_names,
    dialects=("", STANDARD, PLAIN),
)
