"""`python -m servers.reference`: serve until SIGTERM or SIGINT. The flags are the knobs."""

from __future__ import annotations

import argparse
import signal
import sys

from servers.reference.knobs import KNOBS
from servers.reference.plan import Settings
from servers.reference.server import Server


def main() -> None:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8009)
    kinds = {"int": int, "float": float, "str": str}
    for knob in KNOBS:
        parser.add_argument(
            knob.flag,
            dest=knob.name,
            type=kinds[knob.kind],
            default=knob.default,
            choices=knob.choices or None,
            help=knob.trades,
        )
    arguments = vars(parser.parse_args())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    host, port = arguments.pop("host"), arguments.pop("port")
    try:
        server = Server(host, port, Settings(**arguments))
    except OSError as error:
        sys.exit(f"cannot listen on {host}:{port}: {error.strerror}")
    print(f"serving on {host}:{server.port}", flush=True)
    server.serve()


if __name__ == "__main__":
    main()
