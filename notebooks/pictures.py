"""Figures as a reader can see them: interactive in JupyterLab, a PNG in a reading copy."""

import os
from base64 import b64encode

import plotly.graph_objects as go
from IPython.display import display

STATIC = "SERVING_LAB_STATIC_PICTURES"
"""Set by the runner: GitHub and printed copies show no interactive Plotly."""

WIDTH, HEIGHT, SCALE = 880, 380, 1.5


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
    try:
        picture = shown.to_image(format="png", width=WIDTH, height=HEIGHT, scale=SCALE)
    except RuntimeError:  # Plotly's and Kaleido's word for a browser that is missing or broken.
        print(f"[No picture: Chromium is missing here, or does not start.] {alt}")
        return
    data = {"image/png": b64encode(picture).decode(), "text/plain": alt}
    display(data, raw=True, metadata={"image/png": {"alt": alt, "width": WIDTH}})
