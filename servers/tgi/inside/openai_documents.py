"""What the OpenAI routes ask the engine for, and what they answer, as TGI has them.

Source: TGI's `router/src/lib.rs` and `router/src/server.rs` (3.3).
"""

import time
from dataclasses import dataclass

from errors import Invalid
from schemas import GenerateParameters, GenerateRequest

_NOT_HERE = "is not supported by this TGI-compatible server"
COMPLETION_TOKENS = 100
"""The length of a completion that names none."""


@dataclass(frozen=True)
class Shell:
    """What every document of one answer repeats."""

    kind: str
    model: str
    fingerprint: str

    def document(self, choices, **more):
        """A document with these choices."""
        return {
            "object": self.kind,
            "id": "",
            "created": int(time.time()),
            "model": self.model,
            "system_fingerprint": self.fingerprint,
            "choices": choices,
            **more,
        }


def chat_request(chat, prompt):
    """The request for a chat answer to a prompt that is templated already."""
    if chat.tools and chat.tool_choice != "none":
        raise Invalid(f"`tools` {_NOT_HERE}")
    if chat.response_format is not None:
        raise Invalid(f"`response_format` {_NOT_HERE}")
    # TGI makes the OpenAI API's -2..2 a repetition penalty of 0..4.
    penalty = None if chat.presence_penalty is None else chat.presence_penalty + 2.0
    top = chat.top_logprobs if chat.logprobs else None
    parameters = _parameters(chat, chat.max_tokens, repetition_penalty=penalty, top_n_tokens=top)
    return GenerateRequest(inputs=prompt, parameters=parameters, add_special_tokens=False)


def completion_request(body, prompt):
    """The request for a completion of one prompt."""
    most = COMPLETION_TOKENS if body.max_tokens is None else body.max_tokens
    parameters = _parameters(body, most, repetition_penalty=body.repetition_penalty)
    return GenerateRequest(inputs=prompt, parameters=parameters)


def _parameters(body, max_new_tokens, **more):
    """Temperature 0 is TGI's word for no sampling here; all else samples."""
    greedy = body.temperature == 0.0
    return GenerateParameters(
        max_new_tokens=max_new_tokens,
        do_sample=not greedy,
        temperature=None if greedy else body.temperature,
        top_p=body.top_p,
        frequency_penalty=body.frequency_penalty,
        seed=body.seed,
        stop=body.stop or [],
        **more,
    )


def finish_reason(end):
    """TGI's word for it, but `stop` for an end token."""
    return "stop" if end.finish_reason == "eos_token" else end.finish_reason


def usage(prompt_tokens, completion_tokens):
    """Token counts."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def chat_choice(token, top_tokens, end, logprobs):
    """The choice of one chunk. A special token (the end) has no content."""
    return {
        "index": 0,
        "delta": {"role": "assistant", "content": "" if token.special else token.text},
        "logprobs": {"content": [_logprob(token, top_tokens)]} if logprobs else None,
        "finish_reason": None if end is None else finish_reason(end),
    }


def chat_answer(answer, logprobs):
    """The choice of a complete chat answer."""
    tops = answer.top_tokens or ((),) * len(answer.tokens)
    pairs = zip(answer.tokens, tops, strict=True)
    return {
        "index": 0,
        "message": {"role": "assistant", "content": answer.end.text},
        "logprobs": {"content": [_logprob(*pair) for pair in pairs]} if logprobs else None,
        "finish_reason": finish_reason(answer.end),
    }


def completion_choice(index, text, end):
    """The choice of a chunk, or of a complete answer, to prompt `index`."""
    reason = "" if end is None else finish_reason(end)
    return {"index": index, "text": text, "logprobs": None, "finish_reason": reason}


def _logprob(token, top_tokens):
    return {
        "token": token.text,
        "logprob": _number(token),
        "top_logprobs": [{"token": one.text, "logprob": _number(one)} for one in top_tokens],
    }


def _number(token):
    """JSON has no infinity, and this field no null: a token that was ruled out is very unlikely."""
    return -9999.0 if token.logprob is None else token.logprob
