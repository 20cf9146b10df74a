"""Over TLS nobody but the client can see an event: the user-space clock, and it says so."""

import json
import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from unittest import mock

import gevent.socket
import gevent.ssl
import pytest

from loadtests.clock import RunClock
from loadtests.protocols.contract import Ask
from loadtests.protocols.openai import COMPLETIONS
from loadtests.stream import Connection
from loadtests.sweeper import Sweeper
from loadtests.wire import Answer, Timeouts, build_request
from measure.records import Clock


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for text, finish in (("a", None), ("b", "stop")):
            event = {"choices": [{"text": text, "finish_reason": finish}]}
            data = b"data: %s\n\n" % json.dumps(event).encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_):
        pass


@pytest.fixture
def tls_server(tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    server = HTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"https://localhost:{server.server_port}", certificate
    server.shutdown()
    server.server_close()


def ask(url, trusted):
    """As under Locust: the sockets are gevent's."""
    sweeper = Sweeper(RunClock())
    connection = Connection(url, sweeper, Timeouts(connect_s=5, first_token_s=5))
    body = json.dumps(COMPLETIONS.body(Ask("m", "Hello", 2))).encode()
    request = build_request(url, "/v1/completions", body)
    context = gevent.ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trusted is not None:
        context.load_verify_locations(trusted)
    answers = []
    with (
        mock.patch("socket.create_connection", gevent.socket.create_connection),
        mock.patch("loadtests.dial._tls_context", lambda: context),
    ):
        for _ in range(2):
            answers.append(Answer())
            connection.exchange(request, COMPLETIONS.surely_content, answers[-1])
    connection.close()
    sweeper.close()
    return answers


def test_streams_over_tls_are_read_and_stamped_by_the_user_space_clock(tls_server):
    url, certificate = tls_server
    for answer in ask(url, certificate):
        assert answer.error is None
        assert len(answer.events) == 2
        assert answer.clock is Clock.USER


def test_a_certificate_nobody_vouches_for_is_refused(tls_server):
    url, _ = tls_server
    answer = ask(url, None)[0]
    assert answer.error is not None
    assert answer.error.kind == "tls_error"
