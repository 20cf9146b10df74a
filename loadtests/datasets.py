"""Conversations from a file: ShareGPT's JSON, or JSONL of our own. Pure but for reading the file.

ShareGPT: a JSON list of `{"conversations": [{"from": "human", "value": …}, {"from": "gpt", …}]}`.
Ours: one JSON object a line, `{"prompt": …}` or `{"messages": [{"role": …, "content": …}]}`,
either with `"output_tokens": N` where the length of the answers is known.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.errors import LoadError
from loadtests.lengths import MOST_TOKENS

_ROLES = {
    "human": "user", "user": "user",
    "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant", "bard": "assistant",
    "bing": "assistant", "system": "system", "developer": "system",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """A turn of a recorded conversation: what the user says, and the answer that came then.

    `system` is what stands before it that is nobody's turn: the system's instructions.
    """

    prompt: str
    answer: str | None = None
    system: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """Its turns, and how long each answer shall be where the file says so."""

    turns: tuple[Said, ...]
    output_tokens: int | None = None


@dataclass(frozen=True)
class Dataset:
    """The conversations in the file's order. `facts` go into the manifest."""

    facts: dict[str, Any]
    conversations: tuple[Conversation, ...]


class _Wrong(Exception):
    """What is wrong with one entry."""


def read_dataset(path: Path) -> Dataset:
    """Read a dataset in either format. Conversations in which no user says a thing are left out.

    Raises:
        LoadError: it is not there, not JSON, or an entry (named by its line or its place) is
            nothing that can be asked.
    """
    try:
        data = path.read_bytes()
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise LoadError(f"--dataset {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise LoadError(f"--dataset {path} is not UTF-8 text ({error}).") from None
    sharegpt = text.lstrip()[:1] == "["
    found, left_out = [], 0
    for where, entry in _entries(path, text, sharegpt):
        try:
            conversation = _conversation(entry)
        except _Wrong as wrong:
            raise LoadError(
                f"--dataset {path}, {where}, {wrong}. An entry is an object with conversations "
                "(ShareGPT), or with prompt or messages; see loadtests/datasets.py."
            ) from None
        if conversation.turns:
            found.append(conversation)
        else:
            left_out += 1
    if not found:
        raise LoadError(f"--dataset {path} holds no conversation in which a user says something.")
    facts = {
        "file": path.name,
        "sha256": hashlib.sha256(data).hexdigest()[:16],
        "format": "sharegpt" if sharegpt else "jsonl",
        "conversations": len(found),
        "left_out": left_out,
    }
    return Dataset(facts, tuple(found))


def _entries(path: Path, text: str, sharegpt: bool) -> Iterator[tuple[str, Any]]:
    """Every entry with where it is."""
    if sharegpt:
        try:
            entries = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise LoadError(f"--dataset {path} cannot be read as JSON: {error}.") from None
        yield from ((f"entry {number}", entry) for number, entry in enumerate(entries, 1))
        return
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                entry = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise LoadError(
                    f"--dataset {path}, line {number}, cannot be read as JSON: {error}."
                ) from None
            yield f"line {number}", entry


def _conversation(entry: Any) -> Conversation:
    if not isinstance(entry, dict):
        raise _Wrong("is no JSON object")
    known = [key for key in ("conversations", "messages", "prompt") if key in entry]
    if len(known) != 1:
        raise _Wrong(f"has {' and '.join(known) or 'none of conversations, messages and prompt'}")
    tokens = entry.get("output_tokens")
    whole = isinstance(tokens, int) and not isinstance(tokens, bool)
    if tokens is not None and not (whole and 1 <= tokens <= MOST_TOKENS):
        raise _Wrong(
            f"has the output_tokens {tokens!r}, which is no number from 1 to {MOST_TOKENS}"
        )
    if known == ["prompt"]:
        if not isinstance(entry["prompt"], str):
            raise _Wrong("has a prompt that is no text")
        return Conversation((Said(entry["prompt"]),) if entry["prompt"].strip() else (), tokens)
    keys = ("from", "value") if known == ["conversations"] else ("role", "content")
    return Conversation(tuple(_turns(_messages(entry[known[0]], *keys))), tokens)


def _messages(messages: Any, who: str, what: str) -> Iterator[tuple[str, str]]:
    if not isinstance(messages, list):
        raise _Wrong("has messages that are no list")
    for number, message in enumerate(messages, 1):
        if not isinstance(message, dict) or not isinstance(message.get(what), str):
            raise _Wrong(f"has a message {number} without {what} as text")
        role = _ROLES.get(str(message.get(who)))
        if role is None:
            raise _Wrong(f"has a message {number} from {message.get(who)!r}, which is nobody known")
        yield role, message[what]


def _turns(messages: Iterable[tuple[str, str]]) -> list[Said]:
    """One turn a user's message. Answers before the first, and empty messages, say nothing."""
    turns: list[Said] = []
    system: str | None = None
    for role, text in messages:
        if not text.strip():
            continue
        if role == "system":
            system = text if system is None else f"{system}\n{text}"
        elif role == "user":
            turns.append(Said(text, system=system))
            system = None
        elif turns and turns[-1].answer is None:
            turns[-1] = Said(turns[-1].prompt, text, turns[-1].system)
    return turns
