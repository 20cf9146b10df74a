"""Names short enough for legends and columns: what all of several names share is left out. Pure."""

import re
from collections.abc import Sequence
from itertools import takewhile

from dashboard import text

LONGEST = 18
_PARTS = re.compile(r"[^-_./: ]+[-_./: ]*")
_ENDS = "-_./: "


def short(names: Sequence[str], longest: int = LONGEST) -> list[str]:
    """Each name without the words that all begin and end with, each still unlike the others.

    A name alone keeps its words. What is too long then loses its end, or its middle.
    """
    parts = [_PARTS.findall(text.plain(name, 10_000)) or ["–"] for name in names]
    if len(names) > 1:
        # Every name keeps one word at least.
        fewest = min(len(words) for words in parts) - 1
        begin = min(_alike(parts), fewest)
        ends = [[word.rstrip(_ENDS) for word in reversed(words)] for words in parts]
        end = min(_alike(ends), fewest - begin)
        parts = [words[begin : len(words) - end] for words in parts]
    names = ["".join(words).strip(_ENDS) or "–" for words in parts]
    for cut in (_end_cut, _middle_cut):
        shorter = [cut(name, longest) for name in names]
        if len(set(shorter)) == len(names):
            return shorter
    return [
        name if shorter.count(name) == 1 else f"{name} ({shorter[:place].count(name) + 1})"
        for place, name in enumerate(shorter)
    ]


def _alike(several: Sequence[Sequence[str]]) -> int:
    """With how many of the same words all begin."""
    together = zip(*several, strict=False)
    return sum(1 for _ in takewhile(lambda words: len(set(words)) == 1, together))


def _end_cut(name: str, longest: int) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1]}…"


def _middle_cut(name: str, longest: int) -> str:
    """Names of one origin differ at their ends."""
    if len(name) <= longest:
        return name
    half = (longest - 1) // 2
    return f"{name[:half]}…{name[-half:]}"
