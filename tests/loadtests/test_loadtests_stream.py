"""The timing core against the reference server, whose true send times are known."""

import json
import socket
import threading

import gevent
import gevent.socket
import pytest

from loadtests.clock import RunClock
from loadtests.dial import kernel_stamps_kept_on
from loadtests.protocols.contract import Ask
from loadtests.protocols.openai import CHAT, COMPLETIONS
from loadtests.stream import Connection
from loadtests.sweeper import Sweeper
from loadtests.wire import KERNEL_STAMPS, Answer, Timeouts, build_request
from measure.records import Clock, Status


@pytest.fixture
def sweeper():
    with kernel_stamps_kept_on():
        sweeper = Sweeper(RunClock())
        yield sweeper
        sweeper.close()


class Client:
    def __init__(self, url, sweeper, **timeouts):
        self.url = url
        self.connection = Connection(url, sweeper, Timeouts(**timeouts))

    def ask(self, model, tokens=8, protocol=CHAT):
        body = json.dumps(protocol.body(Ask(model, "Hello", tokens))).encode()
        answer = Answer()
        request = build_request(self.url, protocol.path(model), body)
        self.connection.exchange(request, protocol.surely_content, answer)
        return answer

    def contents(self, answer):
        return [
            stamp_s
            for event, stamp_s in zip(answer.events, answer.stamps_s, strict=True)
            if CHAT.surely_content(event)
        ]


@pytest.mark.parametrize(
    "wire", ["", ",split=1", ",crlf=1", ",space=0", ",close=1", ",split=1,crlf=1,space=0"]
)
def test_every_way_to_write_a_stream_gives_the_same_events(reference, sweeper, wire):
    client = Client(reference.url, sweeper)
    plain = client.ask("ref,ttft=0,gap=0.001")
    answer = client.ask(f"ref,ttft=0,gap=0.001{wire}")
    assert answer.error is None
    assert answer.events == plain.events
    assert len(client.contents(answer)) == 8
    client.connection.close()


def test_no_stamp_is_before_the_truth_and_the_kernel_made_it(reference, sweeper):
    """The reference writes its clock before each send, so a stamp can only be later."""
    client = Client(reference.url, sweeper)
    answer = client.ask("ref,ttft=0.05,gap=0.01", 10)
    sent_s = [at_s - sweeper.clock.epoch_s for at_s in reference.truth()[-1]["sent_s"]]
    stamps_s = client.contents(answer)
    assert len(stamps_s) == len(sent_s) == 10
    # A thousandth for the two ways in which the two processes read the clock.
    assert all(got_s >= true_s - 0.001 for got_s, true_s in zip(stamps_s, sent_s, strict=True))
    assert stamps_s == sorted(stamps_s)
    assert stamps_s[0] - answer.sent_s >= 0.05 - 0.001
    assert answer.clock is (Clock.KERNEL if KERNEL_STAMPS else Clock.USER)


@pytest.mark.skipif(not KERNEL_STAMPS, reason="the kernel stamps arrivals on 64-bit Linux only")
def test_a_client_that_sleeps_still_has_the_kernels_time(reference, sweeper):
    """The event loop is held up while the first token arrives; its stamp does not move."""
    client = Client(reference.url, sweeper)
    client.ask("ref,ttft=0,gap=0")
    answer = Answer()
    body = json.dumps(COMPLETIONS.body(Ask("ref,ttft=0.1,gap=0.5", "Hello", 2))).encode()
    request = build_request(reference.url, "/v1/completions", body)
    asking = gevent.spawn(client.connection.exchange, request, COMPLETIONS.surely_content, answer)
    gevent.sleep(0.02)
    threading.Event().wait(0.4)  # holds up the loop: gevent has not patched this process
    held_until_s = sweeper.clock.now_s()
    asking.join()
    true_s = reference.truth()[-1]["sent_s"][0] - sweeper.clock.epoch_s
    # Nearer to the truth than to the moment the client woke up.
    assert abs(answer.stamps_s[0] - true_s) < abs(held_until_s - answer.stamps_s[0])
    assert answer.clock is Clock.KERNEL


@pytest.mark.parametrize(
    ("model", "limits", "kind"),
    [
        ("ref,hang=1", {"first_token_s": 0.2}, "first_token_timeout"),
        ("ref,ttft=30", {"first_token_s": 0.2}, "first_token_timeout"),
        ("ref,ttft=0,stall_at=2,stall=30", {"gap_s": 0.2}, "gap_timeout"),
        ("ref,ttft=0,gap=0.05,tokens=1000", {"total_s": 0.3}, "total_timeout"),
    ],
)
def test_each_timeout_has_its_name(reference, sweeper, model, limits, kind):
    """A role-only chunk at once is no first token: the second case has one."""
    answer = Client(reference.url, sweeper, **limits).ask(model)
    assert answer.error is not None
    assert answer.error.kind == kind
    assert answer.error.status is Status.TIMEOUT


def test_a_host_that_does_not_answer_is_a_connect_timeout(sweeper):
    """A full backlog: the kernel drops what comes, as a host that is not there does."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(8)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(address)
        answer = _timed_out_connect(f"http://127.0.0.1:{address[1]}", sweeper)
        for one in waiting:
            one.close()
    assert answer.error is not None
    assert answer.error.kind == "connect_timeout"


def _timed_out_connect(url, sweeper):
    # Only a socket of gevent yields while it connects, as under Locust.
    from unittest import mock

    with mock.patch("socket.create_connection", gevent.socket.create_connection):
        return Client(url, sweeper, connect_s=0.3).ask("ref")


def test_nobody_there_is_a_refused_connection(sweeper):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        answer = Client(f"http://127.0.0.1:{free.getsockname()[1]}", sweeper).ask("ref")
    assert answer.error is not None
    assert answer.error.kind == "connect_refused"


def test_a_dropped_connection_is_an_error_and_keeps_what_came(reference, sweeper):
    client = Client(reference.url, sweeper)
    answer = client.ask("ref,ttft=0,drop_at=3")
    assert answer.error is not None
    assert answer.error.kind == "disconnected"
    assert len(client.contents(answer)) == 3
    # The next request makes a new connection.
    assert client.ask("ref,ttft=0").error is None


def test_a_compressed_answer_and_a_plain_document_are_told_apart(reference, sweeper):
    client = Client(reference.url, sweeper)
    answer = client.ask("ref,gzip=1")
    assert answer.error is not None
    assert answer.error.kind == "content_encoding"
    answer = client.ask("ref,plain=1")
    assert (answer.error, answer.events) == (None, [])
    assert b"a plain document" in answer.body


def test_an_http_error_keeps_its_body(reference, sweeper):
    answer = Client(reference.url, sweeper).ask("ref,status=429")
    assert (answer.status, answer.error) == (429, None)
    assert b"as it was asked" in answer.body


class OneShot:
    """A server that closes each kept connection at the moment the next request arrives."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen()
        self.connections = 0
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            with peer:
                peer.recv(65536)
                body = b'data: {"choices": [{"text": "a", "finish_reason": "stop"}]}\n\n'
                head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                peer.sendall(head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
                peer.recv(1)  # the first byte of the next request, then the close


def test_a_kept_connection_closed_under_a_request_is_replaced_once(sweeper):
    server = OneShot()
    client = Client(server.url, sweeper)
    answers = [client.ask("ref") for _ in range(3)]
    assert [answer.error for answer in answers] == [None, None, None]
    assert server.connections == 3
    client.connection.close()
    server.listener.close()


def test_a_killed_request_keeps_what_had_come(reference, sweeper):
    client = Client(reference.url, sweeper)
    answer = Answer()
    body = json.dumps(CHAT.body(Ask("ref,ttft=0,gap=30", "Hello", 2))).encode()
    asking = gevent.spawn(
        client.connection.exchange,
        build_request(reference.url, "/v1/chat/completions", body),
        CHAT.surely_content,
        answer,
    )
    while len(answer.events) < 2:
        gevent.sleep(0.01)
    asking.kill()
    assert len(client.contents(answer)) == 1
    assert answer.done_s is not None
    assert client.ask("ref,ttft=0").error is None
