"""Parts of a page that are drawn anew by themselves, and who must know that they are."""

import functools
from collections.abc import Callable
from contextvars import ContextVar
from typing import ParamSpec

import streamlit as st

_Given = ParamSpec("_Given")
_BY_ITSELF: ContextVar[bool] = ContextVar("by_itself", default=False)


def drawn(show: Callable[_Given, None], every_s: float | None) -> Callable[_Given, None]:
    """`show` as a Streamlit fragment that is drawn anew every so often; by itself never if None."""

    @functools.wraps(show)
    def body(*args: _Given.args, **named: _Given.kwargs) -> None:
        before = _BY_ITSELF.set(every_s is not None)
        try:
            show(*args, **named)
        finally:
            _BY_ITSELF.reset(before)

    return st.fragment(body, run_every=every_s)


def by_itself() -> bool:
    """Whether what is drawn just now will be drawn anew without the reader's doing."""
    return _BY_ITSELF.get()
