"""A classifier that computes nothing, to see how a load test asks one and takes what comes.

It answers `POST /classify`, and with `--kserve` KServe's index of models and `infer` instead. What
it does to all requests but the first one (called `preflight`) is the first part of the path:
`http://127.0.0.1:PORT/status=503/classify`. Keys: `status` answers an error document, `body` this
text with HTTP 200, `drop` closes without an answer, `close` closes after an answer without saying
so, `hang` never answers. Each request is a JSON line in `--log`: its name, its path, its document.
"""

import argparse
import json
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

MODEL = "text_classifier"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body are two writes: together they wait for no acknowledgement.
    wbufsize = -1
    log: Path
    kserve: bool
    delay_s: float

    def do_GET(self) -> None:
        self.reply(404, {"error": "nothing to get here"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        name = self.headers.get("X-Request-Id", "")
        _, *first, path = self.path.split("/", 2 if "=" in self.path else 1)
        with self.log.open("a") as log:
            line = {"name": name, "path": f"/{path}", "asked": json.loads(body)}
            log.write(json.dumps(line) + "\n")
        key, _, value = (
            unquote(first[0]).partition("=") if first and name != "preflight" else ("",) * 3
        )
        time.sleep(self.delay_s)
        match key:
            case "status":
                self.reply(int(value), {"error": f"as it was asked: {value}"})
            case "body":
                self.send(200, value.encode())
            case "drop":
                self.close_connection = True
            case "hang":
                time.sleep(60)
            case _:
                self.answer(f"/{path}")
                self.close_connection = self.close_connection or key == "close"

    def answer(self, path: str) -> None:
        logits = [-1.5, 2.5]
        if self.kserve and path == "/v2/repository/index":
            self.reply(200, [{"name": MODEL, "state": "READY"}])
        elif self.kserve and path == f"/v2/models/{MODEL}/infer":
            output = {"name": "logits", "datatype": "FP32", "shape": [1, 2], "data": logits}
            self.reply(200, {"model_name": MODEL, "outputs": [output]})
        elif not self.kserve and path == "/classify":
            self.reply(200, {"label": "positive", "logits": logits})
        else:
            self.reply(404, {"error": f"no {path} here"})

    def reply(self, status: int, document: Any) -> None:
        self.send(status, json.dumps(document).encode())

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--kserve", action="store_true")
    parser.add_argument("--delay", type=float, default=0.02, help="seconds before each answer")
    asked = parser.parse_args()
    Handler.log, Handler.kserve, Handler.delay_s = asked.log, asked.kserve, asked.delay
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
