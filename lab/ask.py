"""Ask a running engine for one answer, to see that real text comes back."""

import httpx

from lab.errors import LabError
from loadtests.errors import StreamError
from loadtests.protocols import STREAMING
from loadtests.protocols.contract import Ask
from loadtests.sse import EventSplitter
from servers.contract import Engine
from servers.instances import Instance

# One prompt to be continued as it stands, so none that goes through a chat template.
_PROTOCOLS = ("openai-completions", "tgi", "kserve-generate")


def complete(engine: Engine, instance: Instance, prompt: str, *, max_tokens: int) -> str:
    """The text the engine continues `prompt` with. `LabError` if it does not answer with text."""
    name = next((name for name in _PROTOCOLS if name in engine.protocols), None)
    if name is None:
        raise LabError(f"{engine.title} answers no protocol in which it could continue a text.")
    protocol = STREAMING[name]
    model = engine.served_models.get(name, instance.served_name)
    url = f"{instance.base_url}{protocol.path(model)}"
    asked = protocol.body(Ask(model, prompt, max_tokens, exact=False))
    text, splitter = "", EventSplitter()
    try:
        with httpx.stream("POST", url, json=asked, timeout=120.0) as answer:
            answer.raise_for_status()
            for data in answer.iter_bytes():
                for event in splitter.feed(data):
                    chunk = protocol.read(event)
                    if chunk.error is not None:
                        raise StreamError("server_error", chunk.error)
                    text += chunk.text
    except (httpx.HTTPError, StreamError, KeyError, TypeError, ValueError) as problem:
        raise LabError(
            f"{instance.name} at {instance.base_url} did not answer a prompt: {problem!r}. "
            f"`lab logs {instance.name}` shows what it said."
        ) from problem
    return text
