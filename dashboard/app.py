"""The dashboard. Start it in the project's folder: `streamlit run dashboard/app.py`."""

import sys
from pathlib import Path

import streamlit as st

# `streamlit run` puts this file's folder on the path; the rooms are found from the one above.
_ROOT = str(Path(__file__).resolve().parent.parent)
if _ROOT not in sys.path:
    sys.path.append(_ROOT)

from dashboard import early, words  # noqa: E402
from dashboard.words import t  # noqa: E402

# An icon of our own: Streamlit would fetch one of its set from the internet.
_ICON = str(Path(__file__).with_name("icon.svg"))
st.set_page_config(page_title="Serving Lab", page_icon=_ICON, layout="wide")

# Streamlit fades what is being computed anew: a page that follows would breathe all day. The
# choice of language stands in the head line, where it takes no room from the page.
# Its grey of captions and of figures, its colours of code and its white on what was chosen in the
# dark are too faint (WCAG 2.2 asks for 4.5:1).
st.html(
    """<style>
    .stElementContainer{opacity:1!important;transition:none!important}
    .st-key-language{position:fixed;top:.7rem;right:3.5rem;width:auto!important;z-index:999991}
    .st-key-early{display:none}
    .st-key-language button{padding:0 .5rem;min-height:1.7rem}
    [class*="st-key-menu-"] [data-testid="stIconMaterial"]{display:none}
    [data-testid="stCaptionContainer"]{opacity:.8!important}
    [data-testid="stMultiSelect"] [data-tag],[data-testid="stBaseButton-primary"]:not(:disabled)
      {background:#0b5f8a!important}
    [data-testid="stCode"] .token{color:color-mix(in srgb,#1c83e1 50%,currentColor)!important}
    .js-plotly-plot text[style*="rgb(128, 132, 149)"]
      {fill:currentColor!important;fill-opacity:.75!important}
    </style>"""
)

words.ask_language_of(lambda: str(st.session_state.get("lang") or "en"))

# File (and address) to title and icon, in their order.
PAGES = {
    "live": ("Live", ":material/monitoring:"),
    "tails": ("Tails", ":material/stacked_line_chart:"),
    "batching": ("Batching", ":material/stacks:"),
    "memory": ("Memory", ":material/memory:"),
    "compare": ("Compare", ":material/compare_arrows:"),
    "slo": ("SLO", ":material/target:"),
    "runs": ("Runs", ":material/folder_open:"),
    "engines": ("Engines", ":material/dns:"),
    "health": ("Health", ":material/monitor_heart:"),
}


def _empty_asks_nothing() -> None:
    """Take `?range=` out of the address: to a control that always has a choice it would be none."""
    empty = [name for name in st.query_params if not any(st.query_params.get_all(name))]
    for name in empty:
        del st.query_params[name]
    if empty:
        st.rerun()


def _language() -> None:
    """The choice of language. The address names it by its code, not by what is written here."""
    if "lang" not in st.session_state:
        asked = st.query_params.get("lang")
        st.session_state["lang"] = asked if asked in words.LANGUAGES else "en"
    with st.container(key="language"):
        st.segmented_control(
            "Language",
            list(words.LANGUAGES),
            format_func=lambda code: words.LANGUAGES[code],
            required=True,
            key="lang",
            label_visibility="collapsed",
            persist_state="session",
        )
    if st.session_state["lang"] != "en":
        st.query_params["lang"] = st.session_state["lang"]
    else:
        st.query_params.pop("lang", None)


_language()
with st.container(key="early"):
    st.html(early.script(), unsafe_allow_javascript=True)
_PAGES = [
    st.Page(
        f"views/{name}.py",
        title=t(title),
        icon=icon,
        # Streamlit gives the first page the address `/` and would refuse its own name.
        url_path="first" if name == "live" else name,
        default=name == "live",
    )
    for name, (title, icon) in PAGES.items()
]
_LIVE = st.Page("views/live.py", title=t("Live"), url_path="live", visibility="hidden")
_page = st.navigation([*_PAGES, _LIVE], position="top")
# Only now: Streamlit would forget which page was asked for.
_empty_asks_nothing()
_page.run()
