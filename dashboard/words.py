"""The interface's words in the reader's language. English stands in the code and is the key.

`t("Runs")` is what the reader should see. A Korean text is looked up in `locale/ko/*.toml` by the
English one; a test sees to it that none is missing and that none names another placeholder.
"""

import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

LANGUAGES = {"en": "English", "ko": "한국어"}
"""Code to what its speakers call it."""

_FOLDER = Path(__file__).with_name("locale")
_asked: Callable[[], str] = lambda: "en"  # noqa: E731


def ask_language_of(source: Callable[[], str]) -> None:
    """Say who knows the reader's language: the page does, each session its own."""
    global _asked
    _asked = source


def language() -> str:
    """The code of the reader's language: part of the key where texts are kept in a cache."""
    return _asked()


def t(english: str, **values: object) -> str:
    """The text in the reader's language, its `{placeholders}` filled in with `values`.

    A text without a translation stays English. Without values nothing is filled in.
    """
    words = translations(_asked()).get(english, english)
    return words.format(**values) if values else words


@cache
def translations(language: str) -> Mapping[str, str]:
    """English to the language's words; empty for English and for a language nobody speaks here.

    Raises `ValueError` where two files say different things of one text.
    """
    found: dict[str, str] = {}
    for file in sorted((_FOLDER / language).glob("*.toml")) if language in LANGUAGES else []:
        for english, words in tomllib.loads(file.read_text(encoding="utf-8")).items():
            if found.setdefault(english, words) != words:
                raise ValueError(f"{file.name} translates {english!r} otherwise than another file")
    return found
