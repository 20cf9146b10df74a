"""A load test as one writes it by hand: asyncio, httpx, and the clock read after each read.

Nothing is wrong with it but where it looks at its clock. The notebook on load generators runs it
beside the lab's own: `python -m notebooks.plain_client URL MODEL USERS SECONDS TOKENS` prints one
JSON line a finished request, with its `request_id` and its `ttft_s`.
"""

import asyncio
import itertools
import json
import sys
import time
from collections.abc import Iterator

import httpx


async def one(client: httpx.AsyncClient, model: str, tokens: int, name: str) -> float | None:
    """One request; seconds from the call to the first content as this process saw it."""
    body = {"model": model, "prompt": "Tell me more.", "max_tokens": tokens, "stream": True}
    first_s = None
    began_s = time.perf_counter()
    headers = {"X-Request-Id": name}
    async with client.stream("POST", "/v1/completions", json=body, headers=headers) as answer:
        async for line in answer.aiter_lines():
            if first_s is None and line.startswith("data:") and '"text"' in line:
                first_s = time.perf_counter() - began_s
    return first_s


async def user(
    client: httpx.AsyncClient, model: str, tokens: int, names: Iterator[str], end_s: float
) -> None:
    """One user of a closed loop, until the time is up."""
    while time.perf_counter() < end_s:
        name = next(names)
        ttft_s = await one(client, model, tokens, name)
        print(json.dumps({"request_id": name, "ttft_s": ttft_s}))


async def main(url: str, model: str, users: int, seconds: float, tokens: int) -> None:
    """All users at once, for so many seconds."""
    names = (f"by-hand-{time.time_ns()}-{number}" for number in itertools.count())
    end_s = time.perf_counter() + seconds
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=url, limits=limits, timeout=60.0) as client:
        await asyncio.gather(*(user(client, model, tokens, names, end_s) for _ in range(users)))


if __name__ == "__main__":
    asyncio.run(
        main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]), int(sys.argv[5]))
    )
