"""The dashboard. Start it in the project's folder: `streamlit run dashboard/app.py`."""

import sys
from pathlib import Path

import streamlit as st

# `streamlit run` puts this file's folder on the path; the rooms are found from the one above.
_ROOT = str(Path(__file__).resolve().parent.parent)
if _ROOT not in sys.path:
    sys.path.append(_ROOT)

# An icon of our own: Streamlit would fetch one of its set from the internet.
_ICON = str(Path(__file__).with_name("icon.svg"))
st.set_page_config(page_title="Serving Lab", page_icon=_ICON, layout="wide")

# Streamlit fades what is being computed anew: a page that follows would breathe all day.
st.html("<style>.stElementContainer{opacity:1!important;transition:none!important}</style>")

PAGES = [
    st.Page("views/live.py", title="Live", icon=":material/monitoring:", default=True),
    st.Page("views/compare.py", title="Compare", icon=":material/compare_arrows:"),
]

st.navigation(PAGES, position="top").run()
