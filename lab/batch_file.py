"""The two files of a batch: prompts in, answers out. A second call goes on where one stopped."""

import fcntl
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from lab.errors import LabError

# What an answer's line begins with: `Answers.append` writes it.
_BEGINS = b'{"line": '
_SURROGATE = re.compile("[\ud800-\udfff]")
_WHAT = 'a line is {"prompt": "..."} or {"messages": [{"role": ..., "content": "..."}]}'


@dataclass(frozen=True)
class Prompt:
    """One line of the prompts' file: its number, what it asks, and a digest of just that."""

    line: int
    asks: dict[str, Any]
    digest: str


def read_prompts(path: Path) -> list[Prompt]:
    """Every prompt of a JSONL file, in order; empty lines are passed over.

    A line has `prompt` (continued as it stands) or `messages` (through the model's chat template),
    and may have `output_tokens`: the answer is then exactly so long. Other keys are passed over.
    Raises `LabError` naming the first line that is no such thing.
    """
    try:
        # "-sig": what Windows and spreadsheets write may begin with a byte order mark.
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise LabError(f"The prompts {path} cannot be read: {error}.") from None
    # Not `splitlines`: it also cuts at characters that JSON may hold, such as U+2028.
    lines = ((number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip())
    found = [_prompt(path, number, line) for number, line in lines]
    if not found:
        raise LabError(f"{path} holds no prompts: {_WHAT}.")
    return found


def _prompt(path: Path, number: int, line: str) -> Prompt:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise LabError(f"{path}, line {number} is no JSON ({error}): {_WHAT}.") from None
    fault = _fault(entry)
    if fault:
        raise LabError(f"{path}, line {number}: {fault}; {_WHAT}.")
    asks = {key: entry[key] for key in ("prompt", "messages", "output_tokens") if key in entry}
    canonical = json.dumps(asks, sort_keys=True)
    return Prompt(number, asks, hashlib.sha256(canonical.encode()).hexdigest()[:16])


def _fault(entry: Any) -> str | None:
    """What keeps a line from being a prompt, or `None`."""
    if not isinstance(entry, dict):
        return f"it is {type(entry).__name__} and no JSON object"
    if ("prompt" in entry) == ("messages" in entry):
        return "it must have either prompt or messages"
    if "prompt" in entry and not (isinstance(entry["prompt"], str) and entry["prompt"]):
        return "its prompt is no text, or an empty one"
    if "messages" in entry and not _are_messages(entry["messages"]):
        return "its messages are no list of objects with a role and a content, both texts"
    if _SURROGATE.search(
        json.dumps([entry.get("prompt"), entry.get("messages")], ensure_ascii=False)
    ):
        return r"its text holds half of a surrogate pair (\ud800 to \udfff), which is no character"
    tokens = entry.get("output_tokens", 1)
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1:
        return f"its output_tokens is {tokens!r}, and must be a whole number of 1 or more"
    return None


def _are_messages(messages: Any) -> bool:
    return (
        isinstance(messages, list)
        and bool(messages)
        and all(
            isinstance(one, dict) and isinstance(one.get(key), str)
            for one in messages
            for key in ("role", "content")
        )
    )


class Answers:
    """The file of answers, open for more: JSONL, one line an answer, in the order they came."""

    def __init__(self, path: Path, file: IO[bytes], done: Counter[str]) -> None:
        """Use `opened`."""
        self.path = path
        self._file = file
        self._done = done

    def left_of(self, prompts: Sequence[Prompt]) -> list[Prompt]:
        """The prompts that have no answer here. Of equal ones so many as answers are missing."""
        done, left = self._done.copy(), []
        for prompt in prompts:
            if done[prompt.digest]:
                done[prompt.digest] -= 1
            else:
                left.append(prompt)
        return left

    def append(self, prompt: Prompt, model: str, run: str, answer: dict[str, Any]) -> None:
        """Keep an answer; it is in the file, whole, when this returns.

        `run` names the run folder: with which settings it was computed stands in its manifest.
        """
        facts = {"line": prompt.line, "digest": prompt.digest, "model": model, "run": run, **answer}
        self._file.write(json.dumps(facts, ensure_ascii=False).encode() + b"\n")
        self._file.flush()


@contextmanager
def opened(path: Path, model: str) -> Iterator[Answers]:
    """The answers at `path`, a new file if there is none; nobody else may write it meanwhile.

    A line that was being written when a job was killed is cut off. Raises `LabError` if another
    job writes it, or if it is no file of answers of this model.
    """
    if path.exists() and not path.is_file():
        raise LabError(f"The answers {path} cannot be written: it is no file.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a+b")
    except OSError as error:
        raise LabError(f"The answers {path} cannot be written: {error}.") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LabError(f"Another job writes {path} now: wait for it, or --output.") from None
        file.seek(0)
        whole = file.read()
        end = whole.rfind(b"\n") + 1
        done, begun = _done(path, whole[:end], model), whole[end:]
        if begun[: len(_BEGINS)] != _BEGINS[: len(begun)]:
            raise _not_ours(path, whole.count(b"\n") + 1)
        file.truncate(end)
        yield Answers(path, file, done)
        empty = path.stat().st_size == 0
    if empty:
        path.unlink(missing_ok=True)


def _done(path: Path, lines: bytes, model: str) -> Counter[str]:
    """How many answers each digest has."""
    found: Counter[str] = Counter()
    for number, line in enumerate(lines.split(b"\n")[:-1], 1):
        try:
            answer = json.loads(line)
            digest, other = str(answer["digest"]), str(answer["model"])
        except (ValueError, KeyError, TypeError):
            raise _not_ours(path, number) from None
        if other != model:
            raise LabError(
                f"{path} holds answers of {other}, and {model} was asked for: one file, one model. "
                "Give another --output, or move it away."
            )
        found[digest] += 1
    return found


def _not_ours(path: Path, number: int) -> LabError:
    return LabError(
        f"{path}, line {number} is no answer of `lab batch`: the file was not written by it. Give "
        "another --output, or move it away."
    )
