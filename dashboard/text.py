"""Text that others wrote (names of runs and models, errors), shown as nothing but text.

Streamlit reads Markdown, with its own directives, in labels and messages; Plotly reads a little
HTML in names and titles. Each has its own way to say "no".
"""

import re

_MARKDOWN = re.compile(r"([!-/:-@\[-`{-~])")
_CONTROL = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]+"
)
# GitHub's Markdown makes links of these after it has taken the escapes away.
_ADDRESS = re.compile(r"(?i)(?<=http)(?=://)|(?<=https)(?=://)|(?<=www)(?=\.)|(?<=[\w.+-])(?=@)")
# Half a letter: a file's name that is no UTF-8 comes in as these, and nothing can be sent with one.
_HALF = re.compile(r"[\ud800-\udfff]")
_JOINER = "\u2060"


def plain(text: object, longest: int = 300) -> str:
    """The text on one line without control characters, cut where it is too long to read."""
    line = _CONTROL.sub(" ", _HALF.sub("\ufffd", str(text))).strip()
    return line if len(line) <= longest else line[: longest - 1] + "…"


def is_whole(text: str) -> bool:
    """Whether it can be sent: half a letter, as in a file's name that is not UTF-8, cannot."""
    return not _HALF.search(text)


def markdown(text: object, longest: int = 300) -> str:
    """Text for a Markdown place: every punctuation mark escaped, so none of it means anything.

    What looks like an address would still become a link: there an unseen mark stands in between.
    """
    return _MARKDOWN.sub(r"\\\1", _ADDRESS.sub(_JOINER, plain(text, longest)))


def figure(text: object, longest: int = 60) -> str:
    """Text for a Plotly place: no tag and no entity survives."""
    line = plain(text, longest)
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
