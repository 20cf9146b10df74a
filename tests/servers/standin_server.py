"""A stand-in: it checks the supervisor and is no engine. Run by path, with any Python.

It can be slow to load, die while loading, never get ready, ignore SIGTERM, have children that
outlive it (one of them without the environment it inherited) and leak shared memory.
"""

import argparse
import http.server
import signal
import subprocess
import sys
import time
from multiprocessing import resource_tracker, shared_memory

SLEEP = "import time; time.sleep(600)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every GET with 200."""

    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"{}")

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
    server = http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), Handler)
    server.serve_forever()
    del kept


if __name__ == "__main__":
    main()
