"""A stand-in for Prometheus's API where a test needs one that lists targets and counts questions.

It knows targets and no other series: what a page asks is noted, not answered. Queries are tried on
a real Prometheus in `test_dashboard_recorded.py`.
"""

import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qs


class Answering:
    """Serves `query`, `query_range` and `alerts` on a free port while it is entered.

    `engines` are scraped now, instance to engine's name; `gone` were, earlier in the time range.
    """

    def __init__(
        self, engines: Mapping[str, str] | None = None, gone: Mapping[str, str] | None = None
    ) -> None:
        self._engines, self._gone = dict(engines or {}), dict(gone or {})
        self._asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self._answer(outer._series(parse_qs(body)["query"][0]))

            def do_GET(self) -> None:
                self._answer([])

            def _answer(self, result: list[dict]) -> None:
                data = {"resultType": "vector", "result": result, "alerts": [], "groups": []}
                text = json.dumps({"status": "success", "data": data}).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _series(self, query: str) -> list[dict]:
        self._asked.append(query)
        if query == "up":
            shown = self._engines
        elif "last_over_time(up" in query:
            shown = {**self._gone, **self._engines}
        else:
            return []
        return [
            {
                "metric": {"job": "engine", "instance": name, "engine": engine, "title": engine},
                "value": [time.time(), "1"],
            }
            for name, engine in shown.items()
        ]

    @property
    def count(self) -> int:
        """How many queries came."""
        return len(self._asked)

    def asked(self) -> str:
        """All queries so far as one text; they are forgotten."""
        several, self._asked = self._asked, []
        return "\n".join(several)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
