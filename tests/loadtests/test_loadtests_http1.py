import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.errors import StreamError
from loadtests.http1 import MAX_HEAD_BYTES, ResponseParser


def parse(pieces: list[bytes]) -> tuple[ResponseParser, bytes]:
    parser = ResponseParser()
    return parser, b"".join(parser.feed(piece) for piece in pieces)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def chunked(parts: list[bytes], trailer: bytes = b"") -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    body = b"".join(b"%x;ext=1\r\n%s\r\n" % (len(part), part) for part in parts if part)
    return head + body + b"0\r\n" + trailer + b"\r\n"


@given(st.lists(st.binary(max_size=50), max_size=6), st.lists(st.integers(0, 2000), max_size=30))
def test_any_split_of_a_chunked_answer_gives_the_same_body(parts, at):
    parser, body = parse(cut(chunked(parts, b"X-Sum: 1\r\n"), at))
    assert body == b"".join(parts)
    assert parser.done
    assert parser.keep_alive


@given(st.binary(max_size=80), st.lists(st.integers(0, 2000), max_size=30))
def test_any_split_of_an_answer_with_a_length_gives_the_same_body(content, at):
    data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content)
    parser, body = parse(cut(data, at))
    assert body == content
    assert parser.done


@given(st.binary(max_size=400))
def test_no_bytes_whatever_raise_anything_but_stream_error(data):
    parser = ResponseParser()
    try:
        parser.feed(data)
        parser.eof()
    except StreamError as error:
        assert error.kind in ("bad_http", "http2", "content_encoding", "disconnected")


@given(st.binary(max_size=60), st.lists(st.integers(0, 500), max_size=8))
def test_no_chunk_framing_whatever_raises_anything_but_stream_error(noise, at):
    data = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + noise
    try:
        parse(cut(data, at))
    except StreamError as error:
        assert error.kind == "bad_http"


def test_the_close_ends_a_body_without_framing_and_the_connection():
    parser, body = parse([b"HTTP/1.1 200 OK\r\n\r\nab", b"cd"])
    assert (body, parser.done) == (b"abcd", False)
    parser.eof()
    assert parser.done
    assert not parser.keep_alive


@pytest.mark.parametrize("last", [b"0\r\n\r\n", b"00\r\n\r\n"])
def test_the_last_chunk_in_a_read_of_its_own_ends_the_answer(last):
    parser = ResponseParser()
    parser.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert parser.feed(b"3\r\nabc\r\n") == b"abc" and not parser.done
    assert parser.feed(last) == b"" and parser.done and parser.mistake is None


def test_a_close_before_the_end_is_a_disconnect():
    parser, _ = parse([chunked([b"abc"])[:-4]])
    with pytest.raises(StreamError) as caught:
        parser.eof()
    assert caught.value.kind == "disconnected"


def test_interim_answers_are_passed_over():
    data = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
    parser, body = parse([data + chunked([b"ok"])])
    assert (parser.status, body) == (200, b"ok")


@pytest.mark.parametrize(
    ("version", "connection", "kept"),
    [("1.1", "", True), ("1.1", "close", False), ("1.0", "", False), ("1.0", "Keep-Alive", True)],
)
def test_who_keeps_the_connection(version, connection, kept):
    head = f"HTTP/{version} 200 OK\r\nContent-Length: 0\r\n"
    head += f"Connection: {connection}\r\n" if connection else ""
    parser, _ = parse([head.encode() + b"\r\n"])
    assert parser.done
    assert parser.keep_alive is kept


def test_no_content_has_no_body():
    parser, body = parse([b"HTTP/1.1 204 No Content\r\n\r\n"])
    assert parser.done
    assert body == b""


def test_bytes_after_the_end_spoil_the_connection():
    parser, body = parse([chunked([b"a"]) + b"HTTP/1.1 "])
    assert (body, parser.done, parser.keep_alive) == (b"a", True, False)


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1_0\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"0" * 2000,
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * (MAX_HEAD_BYTES + 1),
    ],
)
def test_malformed_answers_are_refused(data):
    with pytest.raises(StreamError) as caught:
        ResponseParser().feed(data)
    assert caught.value.kind == "bad_http"


def test_body_before_a_mistake_in_the_same_read_is_not_lost():
    parser = ResponseParser()
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n"
    assert parser.feed(data) == b"a"
    assert parser.mistake is not None
    assert parser.mistake.kind == "bad_http"


def test_a_compressed_answer_is_refused_by_name():
    with pytest.raises(StreamError) as caught:
        ResponseParser().feed(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n")
    assert caught.value.kind == "content_encoding"


@given(st.lists(st.integers(0, 100), max_size=8))
def test_a_grpc_server_is_known_by_its_first_frame_however_it_comes(at):
    """What tritonserver's gRPC port sends to a client that speaks HTTP/1.1."""
    settings = bytes.fromhex("000018040000000000000400400000000500400000000600004000fe0300000001")
    with pytest.raises(StreamError) as caught:
        parse(cut(settings, at))
    assert caught.value.kind == "http2"
