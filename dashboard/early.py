"""What the browser reads while nobody waits: the program that draws figures, before the first one.

Streamlit asks for it when a figure arrives, and reading its 5 MB takes a second in which nothing
can be used. A page without figures has time for it a second after it has opened. What its file is
called is looked up in the installed Streamlit; where there is none all is as before, only later.
"""

import json
from functools import cache
from pathlib import Path

import streamlit as st

_SCRIPTS = Path(st.__file__).parent / "static" / "static" / "js"


@cache
def script() -> str:
    """HTML with the JavaScript that asks for it; a comment where its file is not found."""
    files = sorted(_SCRIPTS.glob("PlotlyChart.*.js"))
    if len(files) != 1:
        return "<!-- figures are drawn by what Streamlit fetches for the first of them -->"
    # The same address as Streamlit's own, so that it is read once.
    return f"""<script>
        const main = document.querySelector('script[src*="static/js/index"]');
        const read = () => import(new URL({json.dumps(files[0].name)}, main.src).href);
        if (main) setTimeout(() => requestIdleCallback(() => read().catch(() => {{}})), 1000);
    </script>"""
