"""The bytes of every answer, made ahead: what is left to do at a chunk's time is to send it.

Words stand for tokens. Each is common enough to be one token, with its leading space, in nearly
every byte-pair vocabulary, so a tool that counts with a tokenizer agrees with one that counts by
usage. Ids and times inside the documents are the same in every answer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

from servers.reference.asks import MODEL, Ask

_WORDS = (
    "the of and to in is for on that by this with from at are as be it an was not have or all "
    "new more can has will one time about may other use any their some only them these who two "
    "its like out over also so up then into day now first people way well work year life good"
)
WORDS = _WORDS.split()
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
)
LAST_CHUNK = b"0\r\n\r\n"
ERROR = "the reference server was told to fail here"
_KEPT = 256

_CHAT = (
    '{"id":"chatcmpl-reference","object":"chat.completion.chunk","created":1,"model":"%s",'
    '"choices":[{"index":0,"delta":{%s},"logprobs":null,"finish_reason":%s}]%s}'
)
_COMPLETION = (
    '{"id":"cmpl-reference","object":"text_completion","created":1,"model":"%s",'
    '"choices":[{"index":0,"text":"%s","logprobs":null,"finish_reason":%s,"stop_reason":null}]%s}'
)
_KSERVE = '{"model_name":"%s","model_version":"1","sequence_id":0,"text_output":"%s"}'
_TGI = (
    '{"index":%d,"token":{"id":%d,"text":"%s","logprob":-0.5,"special":false},'
    '"generated_text":%s,"details":%s}'
)


@dataclass(frozen=True, slots=True)
class Wire:
    """One answer as bytes: a frame a content chunk, then how it ends well or badly."""

    head: bytes
    frames: list[bytes]
    last: bytes
    tail: bytes
    error: bytes


def wire(ask: Ask, per_chunk: int, chunks: int, *, role_at_once: bool) -> Wire:
    """The bytes for an ask, of which `chunks` chunks will be sent.

    `frames` may hold more than asked for; `last` takes the place of the last one of an answer
    that ends well. An answer that is not streamed is one chunk, `last`, without a head.
    """
    if not ask.stream:
        failure = response(500, json.dumps(error_document(500, ERROR)).encode())
        return Wire(b"", [], _document(ask), b"", failure)
    prompt_tokens = ask.prompt_tokens if ask.running_usage else None
    frames = _frames(ask.style, per_chunk, prompt_tokens, role_at_once)
    for index in range(len(frames), chunks):
        frames.append(_frame(ask.style, index, per_chunk, prompt_tokens, role_at_once))
    index = -(-ask.tokens // per_chunk) - 1
    last = _frame(ask.style, index, per_chunk, prompt_tokens, role_at_once, ask)
    early = ask.style == "chat" and role_at_once
    return Wire(
        HEAD + (_role(prompt_tokens) if early else b""), frames, last, _tail(ask), _error(ask)
    )


def text_of(first: int, count: int) -> str:
    """The words of `count` tokens from number `first`, each with its leading space."""
    return "".join(f" {WORDS[i % len(WORDS)]}" for i in range(first, first + count))


@lru_cache(maxsize=_KEPT)
def _frames(
    style: str, per_chunk: int, prompt_tokens: int | None, role_at_once: bool
) -> list[bytes]:
    """The frames made so far for such answers; the list grows as longer ones are asked for."""
    return []


def _frame(
    style: str,
    index: int,
    per_chunk: int,
    prompt_tokens: int | None,
    role_at_once: bool,
    ending: Ask | None = None,
) -> bytes:
    """Content chunk `index`; the last of an answer (`ending`) says why it is the last."""
    first = index * per_chunk
    count = per_chunk if ending is None else ending.tokens - first
    text = text_of(first, count)
    finish = "null" if ending is None else '"length"'
    usage = _usage(prompt_tokens, first + count)
    if style == "chat":
        frame = _event(_CHAT % (MODEL, f'"content":"{text}"', finish, usage))
        return _role(prompt_tokens) + frame if index == 0 and not role_at_once else frame
    if style == "completion":
        return _event(_COMPLETION % (MODEL, text, finish, usage))
    if style == "kserve":
        return _event(_KSERVE % (MODEL, text))
    whole = details = "null"
    if ending is not None:
        whole, details = json.dumps(text_of(0, ending.tokens)), json.dumps(_details(ending))
    return _event(_TGI % (index + 1, index + 1, text, whole, details), space=False)


def _role(prompt_tokens: int | None) -> bytes:
    role = '"role":"assistant","content":""'
    return _event(_CHAT % (MODEL, role, "null", _usage(prompt_tokens, 0)))


def _usage(prompt_tokens: int | None, done: int) -> str:
    if prompt_tokens is None:
        return ""
    return f',"usage":{json.dumps(_counts(prompt_tokens, done))}'


def _counts(prompt_tokens: int, done: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + done,
        "completion_tokens": done,
    }


def _details(ask: Ask) -> dict[str, object]:
    return {
        "finish_reason": "length",
        "generated_tokens": ask.tokens,
        "seed": None,
        "input_length": ask.prompt_tokens,
    }


def _tail(ask: Ask) -> bytes:
    """What follows the last content: usage if it was asked for, the end of the stream."""
    if ask.style in ("kserve", "generate"):
        return LAST_CHUNK
    usage = b""
    if ask.usage:
        template = _CHAT if ask.style == "chat" else _COMPLETION
        shell = json.loads(template % (MODEL, "", "null", ""))
        counts = _counts(ask.prompt_tokens, ask.tokens)
        usage = _event(json.dumps({**shell, "choices": [], "usage": counts}))
    return usage + _event("[DONE]") + LAST_CHUNK


def _error(ask: Ask) -> bytes:
    """An error in the middle of a stream, as the engines send it: HTTP 200 was said long ago."""
    if ask.style == "kserve":
        return _event(json.dumps({"error": ERROR})) + LAST_CHUNK
    if ask.style == "generate":
        error = {"error": ERROR, "error_type": "generation"}
        return _event(json.dumps(error), space=False) + LAST_CHUNK
    return _event(json.dumps(error_document(500, ERROR))) + _event("[DONE]") + LAST_CHUNK


def error_document(status: int, message: str) -> dict[str, object]:
    """What an OpenAI-compatible server answers instead."""
    return {"error": {"message": message, "type": "error", "param": None, "code": status}}


def response(status: int, body: bytes, content_type: str = "application/json") -> bytes:
    """A whole answer with a body of known length."""
    head = f"HTTP/1.1 {status} {'OK' if status == 200 else 'Error'}\r\n"
    head += f"Content-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _document(ask: Ask) -> bytes:
    text = text_of(0, ask.tokens)
    counts = _counts(ask.prompt_tokens, ask.tokens)
    document: dict[str, object]
    if ask.style == "kserve":
        document = {"model_name": MODEL, "model_version": "1", "text_output": text}
    elif ask.style == "generate":
        document = {"generated_text": text, "details": _details(ask)}
    elif ask.style == "chat":
        document = json.loads(_CHAT % (MODEL, "", '"length"', ""))
        message = {"role": "assistant", "content": text}
        document["choices"] = [{"index": 0, "message": message, "finish_reason": "length"}]
        document |= {"object": "chat.completion", "usage": counts}
    else:
        document = json.loads(_COMPLETION % (MODEL, text, '"length"', ""))
        document["usage"] = counts
    return response(200, json.dumps(document).encode())


def _event(data: str, space: bool = True) -> bytes:
    event = f"data:{' ' if space else ''}{data}\n\n".encode()
    return b"%x\r\n%s\r\n" % (len(event), event)
