"""Triton's generate extension of the KServe v2 protocol: `POST /v2/models/M/generate_stream`.

Source: triton-inference-server/server, `docs/protocol/extension_generate.md`. Every event is one
response of a decoupled model, `{"text_output": …}`; there is no `[DONE]`, and an error may come
as HTTP 200 with an event `{"error": …}`. Responses may carry counts (`output_tokens`,
`prompt_tokens`); without them every chunk is taken as one token, and the record says so.
"""

import json
import re
from typing import Any
from urllib.parse import quote

from loadtests.protocols.contract import Ask, Chunk, HttpProtocol, surely_content, token_count

_content = re.compile(rb'"text_output": ?"[^"]')


def _body(ask: Ask) -> dict[str, Any]:
    # What the model does not take as an input, Triton hands it as a parameter: no harm.
    return {
        "text_input": ask.prompt,
        "max_tokens": ask.output_tokens,
        "temperature": 0,
        "ignore_eos": ask.exact,
        "stream": True,
    }


def read(payload: bytes) -> Chunk:
    """Read one response of the model."""
    document = json.loads(payload)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    if document.get("error"):
        return Chunk(error=str(document["error"]))
    text = document.get("text_output")
    return Chunk(
        text=text if isinstance(text, str) else "",
        prompt_tokens=token_count(document.get("prompt_tokens"), "prompt_tokens"),
        output_tokens=token_count(document.get("output_tokens"), "output_tokens"),
        finished=bool(document.get("finish_reason")),
    )


def _error_text(document: Any) -> str | None:
    found = document.get("error") if isinstance(document, dict) else None
    return str(found) if found else None


GENERATE = HttpProtocol(
    name="kserve-generate",
    path=lambda model: f"/v2/models/{quote(model, safe='')}/generate_stream",
    body=_body,
    surely_content=surely_content(_content),
    read=read,
    error_text=_error_text,
    must_finish=False,
    health_path="/v2",
    models_path="/v2/repository/index",
    model_names=lambda document: [
        str(model["name"]) for model in document if model.get("state", "READY") == "READY"
    ],
    models_body={},
)
