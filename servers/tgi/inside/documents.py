"""What the native routes answer: TGI's documents and frames.

Frames are `data:` and JSON, with no space between and no `[DONE]` after the last, as TGI's own
web framework (axum) writes them.
"""

import json
from dataclasses import asdict

KEEP_ALIVE = b":\n\n"


def dumps(document):
    """Compact JSON in UTF-8."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def frame(document):
    """One event of a stream."""
    return b"data:%b\n\n" % dumps(document)


def stream_frame(index, message, *, details, prompt=""):
    """The frame of one token; the last carries the text and, if asked for, `details`."""
    input_length, token, top_tokens, end = message
    document = {"index": index, "token": asdict(token), "generated_text": None, "details": None}
    if top_tokens:
        document["top_tokens"] = [asdict(one) for one in top_tokens]
    if end is not None:
        document["generated_text"] = prompt + end.text
        if details:
            document["details"] = {**_reason(end), "input_length": input_length}
    return document


def answer_document(answer, others, tokenizer, *, details, prompt=""):
    """The document of a complete answer."""
    document = {"generated_text": prompt + answer.end.text}
    if details:
        document["details"] = _details(answer, tokenizer)
        if others:
            document["details"]["best_of_sequences"] = [
                {"generated_text": prompt + one.end.text, **_details(one, tokenizer)}
                for one in others
            ]
    return document


def _details(answer, tokenizer):
    details = {
        **_reason(answer.end),
        # TGI keeps the log-probabilities of prompts off by default, too.
        "prefill": [
            {"id": token, "text": tokenizer.decode([token]), "logprob": None}
            for token in answer.prompt
        ],
        "tokens": [asdict(token) for token in answer.tokens],
    }
    if answer.top_tokens:
        details["top_tokens"] = [[asdict(one) for one in top] for top in answer.top_tokens]
    return details


def _reason(end):
    return {
        "finish_reason": end.finish_reason,
        "generated_tokens": end.generated_tokens,
        "seed": end.seed,
    }


def simple_tokens(encoding, text):
    """The tokens of `/tokenize`, each with the part of the text it stands for."""
    return [
        {"id": token, "text": text[start:stop], "start": start, "stop": stop}
        for token, (start, stop) in zip(encoding.ids, encoding.offsets, strict=True)
    ]
