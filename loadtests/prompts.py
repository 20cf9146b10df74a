"""Synthetic text of a wanted length, the same under the same seed.

Of words drawn for each prompt anew, so that no two prompts begin alike and a prefix cache cannot
answer what it should compute, unless a shared beginning is asked for.
"""

import random
from pathlib import Path
from typing import Protocol

from loadtests.errors import LoadError

# Short common words: byte-pair vocabularies hold each, with its leading space, as one token.
_WORDS = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work government "
    "number night point home water room mother area money story fact month lot right study book "
    "eye job word business issue side kind head house service friend father power hour game line "
    "end member law car city community name president team minute idea body information back "
    "parent face others level office door health person art war history party result change "
    "morning reason research girl guy moment air teacher force education foot boy age policy "
    "music market sense road tree river table paper field light heart class price land sea sun"
)
WORDS = _WORDS.split()
_TRIES = 20


class Tokenizer(Protocol):
    """The part of `tokenizers.Tokenizer` that is needed here, without special tokens."""

    def ids(self, text: str) -> list[int]:
        """The tokens of a text."""

    def text(self, ids: list[int]) -> str:
        """The text of tokens."""


class FileTokenizer:
    """A Hugging Face `tokenizer.json`, given as the file or as the model's folder."""

    def __init__(self, path: Path) -> None:
        import tokenizers

        file = path / "tokenizer.json" if path.is_dir() else path
        try:
            self._tokenizer = tokenizers.Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises bare Exception
            raise LoadError(
                f"--tokenizer {path}: {file} cannot be read as a tokenizer ({error}). Give a "
                "tokenizer.json, or a model folder that has one."
            ) from None

    def ids(self, text: str) -> list[int]:
        """The tokens of a text."""
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def text(self, ids: list[int]) -> str:
        """The text of tokens."""
        text: str = self._tokenizer.decode(ids)
        return text


def words(count: int, chosen: random.Random) -> str:
    """So many words, about one token each."""
    return " ".join(chosen.choices(WORDS, k=count))


def text_of(
    tokens: int, chosen: random.Random, tokenizer: Tokenizer | None = None, before: str = ""
) -> str:
    """A text that begins with `before` and has `tokens` tokens, those of `before` among them.

    With a tokenizer the length is exact, else about right. Exact means the text's own tokens:
    what a chat template or a begin-of-text token adds comes on top, and is in the
    `prompt_tokens` the server reports.

    Raises:
        LoadError: no text of exactly that length was found.
    """
    start = f"{before} " if before else ""
    if tokenizer is None:
        return start + words(tokens - len(before.split()), chosen)
    text = start + words(max(0, tokens - len(before.split())), chosen)
    for _ in range(_TRIES):
        # Cut, decode, count again, mend.
        ids = tokenizer.ids(text)
        if len(ids) == tokens and text.startswith(before):
            return text
        if len(ids) > tokens:
            text = tokenizer.text(ids[:tokens])
        else:
            text += " " + words(tokens - len(ids), chosen)
    raise LoadError(
        f"No prompt of exactly {tokens} tokens was found with this tokenizer in {_TRIES} tries. "
        "Ask for another --prompt-tokens, or leave out --tokenizer."
    )
