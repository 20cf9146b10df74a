"""A stand-in: it checks the supervisor and is no engine. Run by path, with any Python.

It can be slow to load, die while loading, never get ready, ignore SIGTERM, have children that
outlive it (one of them without the environment it inherited) and leak shared memory. It can be
cold (its first answers are slow), refuse, fail within a stream or die at its first request.
"""

import argparse
import http.server
import os
import signal
import subprocess
import sys
import time
from multiprocessing import resource_tracker, shared_memory

SLEEP = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every GET with 200, and a POST as it is told to behave."""

    posts = 0
    behaviour = "good"

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

    def do_POST(self):
        Handler.posts += 1
        asked = self.rfile.read(int(self.headers["Content-Length"]))
        if self.behaviour == "cold" and Handler.posts <= 2:
            time.sleep(0.3)
        if self.behaviour == "never settles":
            time.sleep(0.01 * 2 ** (Handler.posts / 3))
        if self.behaviour == "quits":
            print("ValueError: no kernel for this device", flush=True)
            os._exit(1)
        self.send_response(400 if self.behaviour == "refuses" else 200)
        self.end_headers()
        if self.behaviour == "fails in the stream":
            asked = b'data: {"text": "a"}\n\ndata: {"error": "out of memory"}\n\n'
        self.wfile.write(asked)

    def log_message(self, *_):
        """Say nothing."""


def leak_shared_memory():
    """Map a segment that nobody will unlink (the tracker of multiprocessing is told to forget)."""
    segment = shared_memory.SharedMemory(create=True, size=4096)
    resource_tracker.unregister(segment._name, "shared_memory")
    print(f"segment {segment.name}", flush=True)
    return segment


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--behaviour", default="good")
    parser.add_argument("--children", type=int, default=0)
    arguments = parser.parse_args()
    behaviour = arguments.behaviour
    for number in range(5):
        print(f"loading step {number}", flush=True)
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    kept = leak_shared_memory() if behaviour == "leaks" else None
    for number in range(arguments.children):
        bare = {"env": {}} if number == 0 else {}
        code = STUBBORN if behaviour == "stubborn" else SLEEP
        subprocess.Popen([sys.executable, "-c", code], **bare)
    if behaviour == "dies":
        print("\x1b[31mout of memory: cannot load the weights\x1b[0m", flush=True)
        sys.exit(3)
    if behaviour == "never":
        time.sleep(600)
    Handler.behaviour = behaviour
    server = http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    server.serve_forever()
    del kept


if __name__ == "__main__":
    main()
