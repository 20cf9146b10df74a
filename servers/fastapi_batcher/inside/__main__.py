"""Serve: `python -m servers.fastapi_batcher.inside --host H --port P --model FOLDER --jobs FILE`.

The other flags are the knobs. At SIGTERM what was accepted is answered and new requests are
refused (503); then the program ends. A second signal ends it at once.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from types import FrameType

import uvicorn
from fastapi import FastAPI

from servers.fastapi_batcher.inside.app import Settings, make_app
from servers.fastapi_batcher.knobs import KNOBS

_CLIENTS_TAKE_THEIR_ANSWERS_S = 10


class DrainingServer(uvicorn.Server):
    """Uvicorn, which at a signal closes its door at once; this one first drains the batcher."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                access_log=False,
                timeout_graceful_shutdown=_CLIENTS_TAKE_THEIR_ANSWERS_S,
            )
        )
        self._app = app
        self._drain: asyncio.Task[None] | None = None

    async def serve_until_drained(self) -> None:
        """Serve until a signal has come and what was accepted is answered."""
        self._loop = asyncio.get_running_loop()
        await self.serve()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Uvicorn's handler of SIGTERM and SIGINT."""
        if self._drain is not None or not self.started:
            super().handle_exit(sig, frame)
        else:
            self._loop.call_soon_threadsafe(self._begin_to_drain)

    def _begin_to_drain(self) -> None:
        self._drain = asyncio.create_task(self._drain_and_exit())

    async def _drain_and_exit(self) -> None:
        await self._app.state.service.batcher.drain()
        self.should_exit = True


def main() -> None:
    """Read the flags and serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--jobs", type=Path, required=True)
    for knob in KNOBS:
        parser.add_argument(
            knob.flag, dest=knob.name, type=type(knob.default), default=knob.default
        )
    given = vars(parser.parse_args())
    host, port, model, jobs = (given.pop(name) for name in ("host", "port", "model", "jobs"))
    server = DrainingServer(make_app(Settings(**given), model, jobs), host, port)
    asyncio.run(server.serve_until_drained())


if __name__ == "__main__":
    main()
