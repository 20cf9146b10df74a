"""Asks a KServe server over gRPC as a Locust user would: one stream, one request after another.

A program of its own, because gRPC under gevent needs a patched process. Takes the server's
`host:port` and a JSON list of asks; prints a JSON list of what came back.

    prompt, tokens, model   what is asked (model: llm)
    limits                  timeouts in seconds, of `loadtests.wire.Timeouts`
    after, signal, pids     once so many events have come, send the pids this signal
    cancel                  true: end the asking greenlet at that moment instead
"""

# ruff: noqa: E402
from gevent import monkey

monkey.patch_all()

import json
import os
import sys

import gevent

from loadtests.answer import to_record
from loadtests.clock import RunClock
from loadtests.errors import StreamError
from loadtests.grpc_stream import GrpcStream, inputs_of
from loadtests.protocols.contract import Ask
from loadtests.protocols.kserve_grpc import KSERVE_GRPC, request
from loadtests.sweeper import Sweeper
from loadtests.wire import Answer, Timeouts


def watch(answer, asking, ask):
    while len(answer.events) < ask["after"]:
        gevent.sleep(0.001)
    if ask.get("cancel"):
        asking.kill()
    for pid in ask.get("pids", []):
        os.kill(pid, ask["signal"])


def one(client, host, number, ask):
    model = ask.get("model", "llm")
    client._timeouts = Timeouts(**ask.get("limits", {}))
    answer, cancelled = Answer(), False
    written = request(
        Ask(model, ask["prompt"], ask["tokens"]), f"test-{number}", inputs_of(host, "llm", 10.0)
    )
    asking = gevent.spawn(client.exchange, written, KSERVE_GRPC.surely_content, answer)
    if "after" in ask:
        watch(answer, asking, ask)
    asking.join()
    cancelled = bool(ask.get("cancel"))
    record = to_record(
        answer, KSERVE_GRPC, request_id=f"0-{number}", worker=0, scheduled_s=0.0,
        cancelled=cancelled, count_tokens=None,
    )  # fmt: skip
    text = "".join(KSERVE_GRPC.read(event).text for event in answer.events)
    names = ("status", "error", "output_tokens", "prompt_tokens", "first_chunk_tokens", "chunks")
    said = {name: getattr(record, name) for name in names}
    return {**said, "text": text, "source": record.token_source, "clock": record.clock}


def main():
    host, asks = sys.argv[1], json.loads(sys.argv[2])
    sweeper = Sweeper(RunClock())
    client = GrpcStream(host, sweeper, Timeouts())
    said = []
    for number, ask in enumerate(asks):
        try:
            said.append({**one(client, host, number, ask), "stream": id(client._call)})
        except StreamError as error:
            said.append({"error": str(error)})
    print(json.dumps(said))
    client.close()
    sweeper.close()


main()
