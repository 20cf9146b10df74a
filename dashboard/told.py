"""Sentences that were made elsewhere, with values in them, in the reader's language. Pure.

A run's verdict, a comparison's warnings, an alert: their English is data, kept in files and shown
in terminals, so it is no key of `words.t`. `locale/ko/told/*.toml` holds what such a sentence looks
like, and what to say for it: `"the load lost {count} of its processes ({names})"`.

A value is taken over as it is, and has no blank in it: a number, mostly. `{run:text}` may have
some, `{use:told}` is itself told, `{reasons:list}` is several of those with semicolons in between.
"""

import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from dashboard import words

_FOLDER = Path(__file__).with_name("locale")
# What is longer, or holds sentences in sentences deeper than the lab makes them, is not ours.
LONGEST = 4000
_DEEPEST = 3


@dataclass(frozen=True)
class Pattern:
    """A sentence with gaps: `literals` before, between and after them, `gaps` their name and kind.

    `said` is the sentence in the other language, with the same names in braces.
    """

    literals: tuple[str, ...]
    gaps: tuple[tuple[str, str], ...]
    said: str

    @classmethod
    def of(cls, english: str, said: str) -> "Pattern":
        """From a line of a file."""
        parts = list(string.Formatter().parse(english))
        gaps = [(name, kind or "") for _, name, kind, _ in parts if name is not None]
        literals = [literal for literal, *_ in parts]
        return cls(tuple([*literals, ""][: len(gaps) + 1]), tuple(gaps), said)

    def values(self, sentence: str) -> list[str] | None:
        """What stands in the gaps, one letter at least in each; `None` if it is another sentence.

        Each gap ends where what follows it is first found. Nothing is tried twice, so that hostile
        text takes no longer than any other.
        """
        first, *between, last = self.literals
        if not (sentence.startswith(first) and sentence.endswith(last)):
            return None
        at, end = len(first), len(sentence) - len(last)
        found = []
        for literal in between:
            place = sentence.find(literal, at + 1, end)
            if place < 0:
                return None
            found.append(sentence[at:place])
            at = place + len(literal)
        found.append(sentence[at:end])
        fits = all(
            value and (kind or " " not in value)
            for (_, kind), value in zip(self.gaps, found, strict=True)
        )
        return found if fits else None


def told(sentence: str) -> str:
    """What was said in English elsewhere, in the reader's language; as it is where that is unknown.

    >>> told("16 users")
    '16 users'
    """
    language = words.language()
    return sentence if language == "en" else _told(sentence, language, 0)


@lru_cache(maxsize=2048)
def _told(sentence: str, language: str, depth: int) -> str:
    if len(sentence) > LONGEST or depth > _DEEPEST:
        return sentence
    for whole in (whole_sentences(language), words.translations(language)):
        if sentence in whole:
            return whole[sentence]
    for pattern in patterns(language):
        found = pattern.values(sentence)
        if found is not None:
            return pattern.said.format(
                **{
                    name: _value(value, kind, language, depth + 1)
                    for (name, kind), value in zip(pattern.gaps, found, strict=True)
                }
            )
    return sentence


def _value(value: str, kind: str, language: str, depth: int) -> str:
    if kind == "list":
        return "; ".join(_told(one, language, depth) for one in value.split("; "))
    return _told(value, language, depth) if kind == "told" else value


@cache
def whole_sentences(language: str) -> Mapping[str, str]:
    """Those without a gap."""
    return {english: said for english, said in _lines(language).items() if "{" not in english}


@cache
def patterns(language: str) -> tuple[Pattern, ...]:
    """Those with gaps; what has most text of its own is tried first."""
    found = [Pattern.of(*line) for line in _lines(language).items() if "{" in line[0]]
    return tuple(sorted(found, key=lambda one: -sum(map(len, one.literals))))


@cache
def _lines(language: str) -> Mapping[str, str]:
    files = (_FOLDER / language / "told").glob("*.toml") if language in words.LANGUAGES else ()
    return {
        english: said
        for file in sorted(files)
        for english, said in tomllib.loads(file.read_text(encoding="utf-8")).items()
    }
