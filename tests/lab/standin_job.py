"""A stand-in for an engine's offline job: it answers at a steady pace, and computes nothing.

`standin_job.py PROMPTS REPORT_FD PACE_S`; a prompt `refuse` is refused, `die` kills it, and with
a prompt `linger` it takes 4 s to end after Ctrl-C.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

prompts, descriptor, pace_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
report = os.fdopen(descriptor, "w")


def tell(kind: str, **facts: object) -> None:
    report.write(json.dumps({"kind": kind, **facts}) + "\n")
    report.flush()


print("the stand-in is loading", flush=True)
began_s = time.monotonic()
tell("ready", monotonic_s=began_s, epoch_s=time.time(), version="0")
with Path(prompts).open() as lines:
    asked = [json.loads(line) for line in lines]


def linger(_signal: int, _frame: object) -> None:
    time.sleep(4)
    sys.exit(130)


if any(one.get("prompt") == "linger" for one in asked):
    signal.signal(signal.SIGINT, linger)
for place, one in enumerate(asked):
    text = one.get("prompt") or one["messages"][-1]["content"]
    if text == "refuse":
        tell("refused", place=place, error="too long", monotonic_s=time.monotonic())
        continue
    if text == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(pace_s)
    now_s = time.monotonic()
    times = {
        "queued_s": began_s,
        "scheduled_s": now_s - pace_s,
        "first_token_s": now_s - pace_s / 2,
    }
    tell(
        "answer",
        place=place,
        text=text.upper(),
        finish_reason="length",
        prompt_tokens=3,
        cached_tokens=0,
        output_tokens=one.get("output_tokens", 4),
        last_token_s=now_s,
        **times,
    )
    sample = ["vllm:generation_tokens_total", {"engine": "0"}, 4.0 * (place + 1)]
    tell("metrics", monotonic_s=now_s, samples=[sample])
tell("done", monotonic_s=time.monotonic())
