"""A reference server: it streams words at times that are known, so that a client can be checked.

It is no engine and computes nothing. What it does is written in the model's name, so that any
client can ask for it: `ref,ttft=0.1,gap=0.02,tokens=8`. Keys:

    ttft, gap      seconds until the first content chunk, and between content chunks
    tokens         output tokens (default: what the request asks for)
    per_chunk      tokens in each content chunk (default 1)
    usage          1: usage on every chunk and at the end, 0: none, 2: a null (default 1)
    strict         1: refuses extensions (400), 2: and `stream_options` at all (422)
    role           1: a role-only chunk right at the start, 0: none (default 1, chat only)
    stall_at, stall  before this token, wait this many more seconds
    fail_at        before this token, send an error event, then [DONE]
    drop_at        before this token, close the connection
    status         answer with this HTTP status and an error document
    space          0: `data:` without a space (default 1)
    crlf           1: lines end in CRLF
    split          1: every event is written in three parts
    close          1: no chunked framing, the close of the connection ends the body
    gzip           1: claims that the body is compressed
    plain          1: answers a JSON document and no stream
    hang           1: accepts the request and never answers

`--stall-from S --stall-for D` makes the whole server stop answering for D seconds, S seconds
after its second request: the first is the load test's question whether anybody is there, and its
load may begin seconds later. (`servers/reference` is the lab's own: fast, the same for all requests but
for chance, for measuring. This one does to each request what its model's name says, for tests of
how a client reads.) Each request's true times go to `--log` as a JSON line: `received_s`,
`sent_s` (a list, one a content chunk), CLOCK_REALTIME.
"""

import argparse
import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

MODEL = "ref"
WORDS = ("alpha", "beta", "gamma", "délta", "epsilon", "日本", "eta", "theta")


@dataclass
class Plan:
    ttft: float = 0.05
    gap: float = 0.01
    tokens: int = 0
    per_chunk: int = 1
    usage: int = 1
    strict: int = 0
    role: int = 1
    stall_at: int = -1
    stall: float = 0.0
    fail_at: int = -1
    drop_at: int = -1
    status: int = 200
    space: int = 1
    crlf: int = 0
    split: int = 0
    close: int = 0
    gzip: int = 0
    plain: int = 0
    hang: int = 0

    @classmethod
    def of(cls, model: str, asked_tokens: int) -> "Plan":
        plan = cls()
        for part in model.split(",")[1:]:
            key, _, value = part.partition("=")
            setattr(plan, key, type(getattr(plan, key))(value))
        plan.tokens = plan.tokens or asked_tokens
        return plan


@dataclass
class Reference:
    protocols: set[str]
    log: TextIO | None = None
    stall_from: float = -1.0
    stall_for: float = 0.0
    asked: int = 0
    load_began: float = 0.0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                received_s = time.time()
                first, *lines = head.split("\r\n")
                method, path, _ = first.split(" ")
                length = 0
                for line in lines:
                    if line.lower().startswith("content-length:"):
                        length = int(line.split(":")[1])
                body = await reader.readexactly(length)
                if not await self.answer(method, path, body, writer, received_s):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(
        self, method: str, path: str, body: bytes, writer: asyncio.StreamWriter, received_s: float
    ) -> bool:
        openai = "openai" in self.protocols
        kserve = "kserve" in self.protocols
        if path == "/v1/models" and openai:
            return self.document(writer, 200, {"data": [{"id": MODEL}]})
        if path == "/v2" and kserve:
            return self.document(writer, 200, {"name": "reference"})
        if path == "/v2/repository/index" and kserve:
            return self.document(writer, 200, [{"name": MODEL, "state": "READY"}])
        if path in ("/v1/completions", "/v1/chat/completions") and openai and method == "POST":
            asked = json.loads(body)
            style = "chat" if "chat" in path else "completion"
            options = asked.get("stream_options", {})
            strict = Plan.of(asked["model"], 1).strict
            if strict == 2 and options:
                return self.document(writer, 422, {"detail": "Extra inputs: stream_options"})
            if strict and ("ignore_eos" in asked or "continuous_usage_stats" in options):
                said = {"message": "Unrecognized request argument supplied: ignore_eos"}
                return self.document(writer, 400, {"error": said})
            return await self.stream(
                asked["model"],
                asked["max_tokens"],
                style,
                options,
                writer,
                received_s,
            )
        if path.startswith("/v2/models/") and path.endswith("/generate_stream") and kserve:
            from urllib.parse import unquote

            asked = json.loads(body)
            model = unquote(path.split("/")[3])
            return await self.stream(model, asked["max_tokens"], "kserve", {}, writer, received_s)
        return self.document(writer, 404, {"error": {"message": f"no such route: {path}"}})

    def document(self, writer: asyncio.StreamWriter, status: int, document: object) -> bool:
        body = json.dumps(document).encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        return True

    async def stream(
        self, model: str, asked_tokens: int, style: str, stream_options: dict[str, bool],
        writer: asyncio.StreamWriter, received_s: float,
    ) -> bool:  # fmt: skip
        if model.split(",")[0] != MODEL:
            return self.document(writer, 404, {"error": {"message": f"no model {model}"}})
        plan = Plan.of(model, asked_tokens)
        if plan.status != 200:
            return self.document(writer, plan.status, {"error": {"message": "as it was asked"}})
        if plan.plain:
            return self.document(writer, 200, {"error": "a plain document"})
        if plan.hang:
            await asyncio.sleep(3600)
        await self.server_wide_stall()
        writer.write(_head(plan))
        if style == "chat" and plan.role:
            await _event(writer, plan, _chat({"role": "assistant", "content": ""}, None, None))
        sent_s: list[float] = []
        due_s = time.time() + plan.ttft if self.stall_from >= 0 else received_s + plan.ttft
        alive = await self.tokens(plan, style, stream_options, writer, due_s, sent_s)
        if self.log:
            self.log.write(json.dumps({"received_s": received_s, "sent_s": sent_s}) + "\n")
            self.log.flush()
        # Only now does the client know that it is over, and may read the log.
        return alive and await self.finish(plan, style, writer)

    async def tokens(
        self, plan: Plan, style: str, stream_options: dict[str, bool],
        writer: asyncio.StreamWriter, due_s: float, sent_s: list[float],
    ) -> bool:  # fmt: skip
        done = 0
        running = bool(plan.usage == 1 and stream_options.get("continuous_usage_stats"))
        while done < plan.tokens:
            now = min(plan.per_chunk, plan.tokens - done)
            reached = range(done, done + now)
            if plan.stall_at in reached:
                due_s += plan.stall
            # Early, then to the point: sleep() alone is late by up to a millisecond or more.
            while (left_s := due_s - time.time()) > 0:
                await asyncio.sleep(left_s)
            if plan.drop_at in reached:
                writer.transport.abort()
                return False
            if plan.fail_at in reached:
                await _event(writer, plan, {"error": {"message": "as it was asked"}})
                break
            text = " ".join(WORDS[token % len(WORDS)] for token in reached)
            done += now
            sent_s.append(time.time())
            await _event(writer, plan, _content(style, text, done if running else None))
            due_s += plan.gap * now
        else:
            if style != "kserve":
                await _event(writer, plan, _content(style, "", done if running else None, "length"))
                if plan.usage and stream_options.get("include_usage"):
                    usage = _usage(done) if plan.usage == 1 else None
                    await _event(writer, plan, {"choices": [], "usage": usage})
        return True

    async def finish(self, plan: Plan, style: str, writer: asyncio.StreamWriter) -> bool:
        if style != "kserve":
            await _event(writer, plan, "[DONE]")
        if not plan.close:
            writer.write(b"0\r\n\r\n")
        await writer.drain()
        return not plan.close

    async def server_wide_stall(self) -> None:
        if self.stall_from < 0:
            return
        self.asked += 1
        if self.asked == 1:
            return
        if self.asked == 2:
            self.load_began = time.monotonic()
        since = time.monotonic() - self.load_began
        if self.stall_from <= since < self.stall_from + self.stall_for:
            await asyncio.sleep(self.stall_from + self.stall_for - since)


def _usage(done: int) -> dict[str, int]:
    return {"prompt_tokens": 7, "completion_tokens": done, "total_tokens": 7 + done}


def _chat(delta: dict[str, str], done: int | None, finish: str | None) -> dict[str, object]:
    chunk: dict[str, object] = {
        "id": "r", "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }  # fmt: skip
    return chunk if done is None else {**chunk, "usage": _usage(done)}


def _content(
    style: str, text: str, done: int | None, finish: str | None = None
) -> dict[str, object]:
    if style == "kserve":
        return {"model_name": MODEL, "model_version": "1", "text_output": text}
    if style == "chat":
        return _chat({"content": text} if text else {}, done, finish)
    chunk: dict[str, object] = {
        "id": "r", "choices": [{"index": 0, "text": text, "finish_reason": finish}],
    }  # fmt: skip
    return chunk if done is None else {**chunk, "usage": _usage(done)}


def _head(plan: Plan) -> bytes:
    lines = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream; charset=utf-8"]
    lines.append("Connection: close" if plan.close else "Transfer-Encoding: chunked")
    if plan.gzip:
        lines.append("Content-Encoding: gzip")
    return "\r\n".join([*lines, "", ""]).encode()


async def _event(writer: asyncio.StreamWriter, plan: Plan, document: object) -> None:
    text = document if isinstance(document, str) else json.dumps(document, ensure_ascii=False)
    end = "\r\n" if plan.crlf else "\n"
    event = f"data:{' ' if plan.space else ''}{text}{end}{end}".encode()
    if not plan.close:
        event = b"%x\r\n%s\r\n" % (len(event), event)
    third = len(event) // 3
    parts = [event[:third], event[third : 2 * third], event[2 * third :]] if plan.split else [event]
    for part in parts:
        writer.write(part)
        if plan.split:
            await asyncio.sleep(0.001)


async def serve(arguments: argparse.Namespace) -> None:
    log = Path(arguments.log).open("w") if arguments.log else None  # noqa: SIM115 - as long as we live
    reference = Reference(
        set(arguments.protocols.split(",")), log, arguments.stall_from, arguments.stall_for
    )
    server = await asyncio.start_server(reference.connection, "127.0.0.1", arguments.port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--protocols", default="openai,kserve")
    parser.add_argument("--log")
    parser.add_argument("--stall-from", type=float, default=-1.0)
    parser.add_argument("--stall-for", type=float, default=0.0)
    asyncio.run(serve(parser.parse_args()))
