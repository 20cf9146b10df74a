"""Asking a server whether it is there, and whether it says that it is ready."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from servers import probe


@pytest.fixture
def server():
    class Handler(BaseHTTPRequestHandler):
        asked: list[str] = []  # noqa: RUF012

        def do_GET(self):
            self.asked.append(self.path)
            self.send_response(200 if self.path == "/state" else 503)
            self.end_headers()
            self.wfile.write(b'{"worker": "READY"}')

        def log_message(self, *_):
            pass

    httpd = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_port}", Handler.asked
    httpd.shutdown()
    httpd.server_close()


def test_a_word_after_the_hash_must_stand_in_the_answer_and_is_never_sent(server):
    base, asked = server
    assert probe.answers(f"{base}/state")
    assert probe.answers(f"{base}/state#READY")
    assert not probe.answers(f"{base}/state#STARTED")
    assert not probe.answers(f"{base}/other#READY")
    assert asked == ["/state", "/state", "/state", "/other"]


def test_nobody_there_is_no_answer():
    assert not probe.answers("http://127.0.0.1:1/state#READY")
