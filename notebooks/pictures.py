"""Figures as a reader can see them: interactive in JupyterLab, a PNG in a reading copy."""

import os
import signal
import subprocess
import sys
from base64 import b64encode

import plotly.graph_objects as go
from IPython.display import display

STATIC = "SERVING_LAB_STATIC_PICTURES"
"""Set by the runner: GitHub and printed copies show no interactive Plotly."""

WIDTH, HEIGHT, SCALE = 880, 380, 1.5
PATIENCE_S, TRIES = 60.0, 2
_DRAW = f"""
import sys
import plotly.io as pio
figure = pio.from_json(sys.stdin.read())
picture = figure.to_image(format="png", width={WIDTH}, height={HEIGHT}, scale={SCALE})
sys.stdout.buffer.write(picture)
"""


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

    Drawn by a program of its own: when Chromium dies as it starts, Kaleido waits for it for ever.
    """
    for _ in range(TRIES):
        with subprocess.Popen(
            (sys.executable, "-c", _DRAW),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        ) as drawing:
            try:
                picture, _ = drawing.communicate(figure.to_json().encode(), timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                os.killpg(drawing.pid, signal.SIGKILL)
                continue
        if drawing.returncode == 0:
            return picture
    return None
