"""TGI's own Python client against a server. Runs in the client's own environment.

Usage: tgi_client.py URL, with `[prompt, new tokens]` on standard input; what came back as JSON.
"""

import json
import sys

from text_generation import Client
from text_generation.errors import OverloadedError, ValidationError

client = Client(sys.argv[1], timeout=60)
prompt, most = json.load(sys.stdin)
answer = client.generate(prompt, max_new_tokens=most)
streamed = list(client.generate_stream(prompt, max_new_tokens=most))
raised = []
for refused in (client.generate, lambda *a, **k: list(client.generate_stream(*a, **k))):
    try:
        refused(prompt, max_new_tokens=10_000)
    except (ValidationError, OverloadedError) as error:
        raised.append([type(error).__name__, str(error)])
json.dump(
    {
        "text": answer.generated_text,
        "finish_reason": answer.details.finish_reason,
        "tokens": [token.id for token in answer.details.tokens],
        "streamed": [one.token.id for one in streamed],
        "last": streamed[-1].generated_text,
        "raised": raised,
    },
    sys.stdout,
)
