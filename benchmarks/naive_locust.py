"""Streaming with plain Locust as one writes it by hand: `HttpUser`, `iter_lines`, the user's clock.

NAIVE_RESULT=naive.json locust -f benchmarks/naive_locust.py --headless -H URL -u 64 -r 64 -t 12s
"""

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from locust import HttpUser, events, task

ttft_s: list[float] = []
gap_s: list[float] = []
PROMPT = " ".join(["word"] * int(os.environ.get("NAIVE_PROMPT_TOKENS", "32")))
OUTPUT_TOKENS = int(os.environ.get("NAIVE_OUTPUT_TOKENS", "100"))


class Naive(HttpUser):
    """Asks for a chat answer, and looks at its clock whenever a line has come."""

    @task
    def chat(self) -> None:
        """One request."""
        body = {
            "model": "reference",
            "messages": [{"role": "user", "content": PROMPT}],
            "max_tokens": OUTPUT_TOKENS,
            "stream": True,
        }
        before = sent = time.perf_counter()
        first = True
        response = self.client.post("/v1/chat/completions", json=body, stream=True)
        for line in response.iter_lines():
            if not line.startswith(b"data: ") or line == b"data: [DONE]":
                continue
            choices = json.loads(line[6:])["choices"]
            if not choices or not choices[0]["delta"].get("content"):
                continue
            now = time.perf_counter()
            if first:
                ttft_s.append(now - sent)
                first = False
            else:
                gap_s.append(now - before)
            before = now


@events.quitting.add_listener
def write(**_: Any) -> None:
    """p50 and p99 of TTFT and of the gaps between chunks."""
    result = {
        "requests": len(ttft_s),
        "ttft_s": list(np.percentile(ttft_s, [50, 99])),
        "gap_s": list(np.percentile(gap_s, [50, 99])),
    }
    Path(os.environ["NAIVE_RESULT"]).write_text(json.dumps(result))
