"""Ask a running engine for one answer, to see that real text comes back."""

import json

import httpx

from lab.errors import LabError
from servers.contract import Engine
from servers.instances import Instance


def complete(engine: Engine, instance: Instance, prompt: str, *, max_tokens: int) -> str:
    """The text the engine continues `prompt` with. `LabError` if it does not answer with text."""
    try:
        if "openai-completions" in engine.protocols:
            answer = httpx.post(
                f"{instance.base_url}/v1/completions",
                json={
                    "model": instance.served_name,
                    "prompt": prompt,
                    "max_tokens": max_tokens,
                    "temperature": 0,
                },
                timeout=120.0,
            )
            answer.raise_for_status()
            return str(answer.json()["choices"][0]["text"])
        model = engine.served_models.get("kserve-generate", instance.served_name)
        text = ""
        with httpx.stream(
            "POST",
            f"{instance.base_url}/v2/models/{model}/generate_stream",
            json={"text_input": prompt, "max_tokens": max_tokens, "temperature": 0.0},
            timeout=120.0,
        ) as stream:
            stream.raise_for_status()
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    text += str(json.loads(line[5:])["text_output"])
        return text
    except (httpx.HTTPError, KeyError, ValueError) as problem:
        raise LabError(
            f"{instance.name} at {instance.base_url} did not answer a prompt: {problem!r}. "
            f"`lab logs {instance.name}` shows what it said."
        ) from problem
