"""Text Generation Inference's own API: `POST /generate_stream`.

Source: TGI's OpenAPI document (3.3) and `router/src/server.rs`. Frames are `data:{json}`, with no
space after the colon and no `[DONE]`; comments keep the connection alive. Every frame is one
token (`token.id`), also one whose text is still empty because its character is not complete, and
also a special one, whose text is no content. Only the last frame has `generated_text` and
`details`, with the server's own counts: a stream that ends without it was cut off. Errors arrive
as a frame `{"error", "error_type"}` of an answer with HTTP 200, or as 422 (validation),
424 (generation), 429 (overloaded), 500 (incomplete), 503 (unhealthy).

The length of an answer is a limit, not exact: this API has no way to pass over the end token.
Prompt tokens are `details.input_length`; `decoder_input_details` is refused in streams.
"""

import json
import re
from typing import Any

from loadtests.protocols.contract import Ask, Chunk, HttpProtocol, surely_content, token_count

# A token with text that is not special, written as TGI writes it. Inside a JSON string a quote is
# escaped, so these keys cannot be part of generated text.
_content = re.compile(
    rb'"token": ?\{"id": ?\d+, ?"text": ?"(?:[^"\\]|\\.)+", ?"logprob": ?[^,"{}]+, ?'
    rb'"special": ?false\}'
)


def _body(ask: Ask) -> dict[str, Any]:
    # No temperature: it must be above 0 there, and without sampling the most likely token wins.
    return {
        "inputs": ask.prompt,
        "parameters": {"max_new_tokens": ask.output_tokens, "do_sample": False, "details": True},
    }


def read(payload: bytes) -> Chunk:
    """Read one frame."""
    document = json.loads(payload)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    error = error_text(document)
    if error:
        return Chunk(error=error)
    token = document["token"]
    text = "" if token.get("special") else token["text"]
    if not isinstance(text, str):
        raise ValueError("token.text is no text")
    details = document.get("details") or {}
    return Chunk(
        text=text,
        prompt_tokens=token_count(details.get("input_length"), "input_length"),
        output_tokens=token_count(details.get("generated_tokens"), "generated_tokens"),
        own_tokens=1,
        finished=document.get("generated_text") is not None,
    )


def error_text(document: Any) -> str | None:
    """The message of an error document, with its type; `None` if it is none."""
    if not isinstance(document, dict) or not document.get("error"):
        return None
    kind = document.get("error_type")
    return f"{document['error']} ({kind})" if kind else str(document["error"])


TGI = HttpProtocol(
    name="tgi",
    path=lambda model: "/generate_stream",
    body=_body,
    surely_content=surely_content(_content),
    read=read,
    error_text=error_text,
    must_finish=True,
    health_path="/info",
    models_path="/info",
    model_names=lambda document: [str(document["model_id"])],
    names_model=False,
)
