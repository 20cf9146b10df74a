"""Figures as a reader can see them: interactive in JupyterLab, a PNG in a reading copy."""

import atexit
import os
import signal
import subprocess
import sys
from base64 import b64encode
from contextlib import suppress
from threading import Timer

import plotly.graph_objects as go
from IPython.display import display

STATIC = "SERVING_LAB_STATIC_PICTURES"
"""Set by the runner: GitHub and printed copies show no interactive Plotly."""

WIDTH, HEIGHT, SCALE = 880, 380, 1.5
PATIENCE_S, TRIES = 60.0, 2
# Figures come in rows, and a browser takes two seconds to start. But it should not sit beside the
# next measurement.
IDLE_S = 5.0
_ENDS_WITHIN_S = 5.0
_SIZE_BYTES = 8
# A figure is a line that comes in; a picture goes out behind its size.
_DRAW = f"""
import asyncio, json, select, sys
import kaleido

async def draw():
    opts = dict(format="png", width={WIDTH}, height={HEIGHT}, scale={SCALE})
    async with kaleido.Kaleido(n=1) as artist:
        while select.select([sys.stdin], [], [], {IDLE_S})[0]:
            line = sys.stdin.readline()
            if not line:
                return
            picture = await artist.calc_fig(json.loads(line), opts)
            sys.stdout.buffer.write(len(picture).to_bytes({_SIZE_BYTES}, "big") + picture)
            sys.stdout.buffer.flush()

asyncio.run(draw())
"""
_drawing: list["subprocess.Popen[bytes]"] = []


def show(figure: go.Figure, alt: str) -> None:
    """Show the figure in a notebook; `alt` says in a sentence what it shows.

    A static picture needs a Chromium. Where there is none, a line says so in its place and the
    notebook goes on.
    """
    # A copy: the figure may be shown elsewhere in another size.
    shown = go.Figure(figure).update_layout(template="plotly_white", height=HEIGHT)
    if not os.environ.get(STATIC):
        shown.show()
        return
    picture = png(shown)
    if picture is None:
        print(f"[No picture: Chromium is missing here, or does not start.] {alt}")
        return
    data = {"image/png": b64encode(picture).decode(), "text/plain": alt}
    display(data, raw=True, metadata={"image/png": {"alt": alt, "width": WIDTH}})


def png(figure: go.Figure) -> bytes | None:
    """The figure as a PNG, or `None` where no Chromium draws it.

    Drawn by a program of its own, which ends by itself when there is nothing to draw for some
    seconds: when Chromium dies as it starts, Kaleido waits for it for ever.
    """
    for _ in range(TRIES):
        picture = _drawn(figure.to_json().encode())
        if picture is not None:
            return picture
    return None


@atexit.register
def stop_drawing() -> None:
    """End the program that draws, if one runs: it closes its browser."""
    while _drawing:
        drawing = _drawing.pop()
        assert drawing.stdin is not None and drawing.stdout is not None
        with suppress(OSError):
            drawing.stdin.close()
        try:
            drawing.wait(_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            _kill(drawing)
            drawing.wait()
        drawing.stdout.close()


def _drawn(figure: bytes) -> bytes | None:
    """The picture; `None`, and a new program for the next one, if it ended or took too long."""
    if not _drawing:
        _drawing.append(_start())
    drawing = _drawing[-1]
    assert drawing.stdin is not None and drawing.stdout is not None
    too_late = Timer(PATIENCE_S, _kill, [drawing])
    too_late.start()
    try:
        drawing.stdin.write(figure + b"\n")
        drawing.stdin.flush()
        size = int.from_bytes(drawing.stdout.read(_SIZE_BYTES), "big")
        picture = drawing.stdout.read(size)
    except BrokenPipeError:
        size, picture = 0, b""
    finally:
        too_late.cancel()
    if size and len(picture) == size:
        return picture
    stop_drawing()
    return None


def _start() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        (sys.executable, "-c", _DRAW),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _kill(drawing: "subprocess.Popen[bytes]") -> None:
    """It and its browser, which is of the same session."""
    with suppress(ProcessLookupError):
        os.killpg(drawing.pid, signal.SIGKILL)
