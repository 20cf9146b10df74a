"""TGI's own OpenAPI document, amended where it cannot be used or says less than TGI does."""

import json
import os
from pathlib import Path

VARIABLE = "SERVING_LAB_TGI_OPENAPI"
_ERROR = {"$ref": "#/components/schemas/ErrorResponse"}

LIMITS = {
    "CompatGenerateRequest": {"inputs": {"minLength": 1}},
    "GenerateRequest": {"inputs": {"minLength": 1}},
    "GenerateParameters": {
        "max_new_tokens": {"minimum": 1, "maximum": 32},
        "best_of": {"maximum": 2},
        "top_n_tokens": {"maximum": 5},
        "truncate": {"minimum": 1, "maximum": 96},
        "frequency_penalty": {"maximum": 2},
        "watermark": {"enum": [False]},
        "grammar": {"enum": [None], "allOf": []},
    },
    "ChatRequest": {
        "messages": {"minItems": 1},
        "max_tokens": {"minimum": 1, "maximum": 32},
        "temperature": {"minimum": 0},
        "top_logprobs": {"maximum": 5},
        "tools": {"maxItems": 0},
        "response_format": {"enum": [None], "allOf": []},
    },
    "CompletionRequest": {
        "max_tokens": {"minimum": 1, "maximum": 32},
        "temperature": {"minimum": 0},
        "suffix": {"enum": [None]},
    },
}
"""What TGI (or this server) refuses though the document lets it pass, by schema and property."""


def path() -> Path | None:
    """Where the document is, if it is here."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given and Path(given).is_file() else None


def document(file: Path) -> dict:
    """The document, as cases can be generated of it and answers checked with it.

    It is of OpenAPI 3.0, where `exclusiveMinimum` is a flag beside `minimum`, and writes numbers;
    some of its defaults are strings where the type is another. Its streams are described by what
    their events carry; errors, which TGI sends as events of an answer with HTTP 200, and OpenAI's
    `[DONE]` it leaves out.
    """
    whole = json.loads(file.read_text(encoding="utf-8"))
    _mend(whole)
    for path_item in whole["paths"].values():
        for operation in path_item.values():
            for answer in operation["responses"].values():
                events = answer.get("content", {}).get("text/event-stream")
                if events is not None:
                    events["schema"] = _event(events["schema"])
    schemas = whole["components"]["schemas"]
    for name, properties in LIMITS.items():
        for key, limits in properties.items():
            schemas[name]["properties"][key].update(limits)
    schemas["Prompt"].update(minItems=1, maxItems=4, items={"type": "string", "minLength": 1})
    return whole


def _event(carried: dict) -> dict:
    """The schema of a server-sent event that carries this, an error or the end."""
    content = {
        "contentMediaType": "application/json",
        "contentSchema": {"anyOf": [carried, _ERROR]},
    }
    data = {"type": "string", "anyOf": [{"enum": ["[DONE]"]}, content]}
    return {"type": "object", "required": ["data"], "properties": {"data": data}}


def _mend(node: object) -> None:
    if isinstance(node, dict):
        least = node.get("exclusiveMinimum")
        if isinstance(least, int | float) and not isinstance(least, bool):
            node["minimum"], node["exclusiveMinimum"] = least, True
        if isinstance(node.get("default"), str):
            del node["default"]
        for child in node.values():
            _mend(child)
    elif isinstance(node, list):
        for child in node:
            _mend(child)
