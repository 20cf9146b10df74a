"""The floor: the least that Python can do for a stream. A greenlet a stream, a socket, a stamp.

It reads no HTTP and no JSON: a content chunk is wherever a text begins that is not empty, the end
is where the body ends, and both are right only for the reference server, which sends each chunk
whole. No load generator can be this; it shows what of the others' cost is theirs.

    python benchmarks/floor.py http://127.0.0.1:8009 --streams 64 --seconds 12 --result floor.json
"""

import argparse
import json
import struct
import time
from pathlib import Path
from urllib.parse import urlsplit

import gevent
import numpy as np
from gevent import socket

SO_TIMESTAMPING = 37
RX_SOFTWARE_REPORTED = 1 << 3 | 1 << 4
TIMESPEC = struct.Struct("qq")
CONTENT = b'"content":" '
END = b"\r\n0\r\n\r\n"


def stream(address: tuple[str, int], request: bytes, until_s: float, answers: list) -> None:
    """One request after another over one connection; the times of each into `answers`."""
    connection = socket.create_connection(address)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPING, RX_SOFTWARE_REPORTED)
    while time.time() < until_s:
        times_s = [time.time()]
        connection.sendall(request)
        data = b""
        while not data.endswith(END):
            data, ancillary, _, _ = connection.recvmsg(65536, 128)
            if not data:
                raise SystemExit("the server closed the connection")
            seconds, nanoseconds = TIMESPEC.unpack_from(ancillary[0][2])
            times_s += [seconds + nanoseconds * 1e-9] * data.count(CONTENT)
        answers.append(times_s)


def main() -> None:
    """Load, then write p50 and p99 of TTFT and of the gaps between chunks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--streams", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--prompt-tokens", type=int, default=32)
    parser.add_argument("--output-tokens", type=int, default=100)
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args()
    url = urlsplit(options.url)
    assert url.hostname and url.port
    body = json.dumps(
        {
            "model": "reference",
            "messages": [{"role": "user", "content": " ".join(["word"] * options.prompt_tokens)}],
            "max_tokens": options.output_tokens,
            "stream": True,
        }
    ).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    answers: list[list[float]] = []
    arguments = (url.hostname, url.port), head.encode() + body, time.time() + options.seconds
    gevent.joinall(
        [gevent.spawn(stream, *arguments, answers) for _ in range(options.streams)],
        raise_error=True,
    )
    ttft_s = [times[1] - times[0] for times in answers]
    gap_s = np.concatenate([np.diff(times[1:]) for times in answers])
    result = {
        "requests": len(answers),
        "ttft_s": list(np.percentile(ttft_s, [50, 99])),
        "gap_s": list(np.percentile(gap_s, [50, 99])),
    }
    options.result.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
