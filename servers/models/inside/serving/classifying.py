"""The lab's text classifier for servers that run it in their own process and environment.

A request is read and refused by itself, so that a bad one cannot fail the batch it came in.
Needs onnxruntime, numpy and tokenizers, and nothing of the lab.
"""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

MAX_TOKENS = 256
# Seen before a text is tokenized: that takes a second for each million, and all others wait.
MAX_CHARACTERS = 16 * MAX_TOKENS
VOCABULARY = 30522
LABELS = ("negative", "positive")


class Refused(ValueError):
    """What is wrong with a request, in words for its sender."""


def tokenizer(folder):
    """The tokenizer of the model in `folder`; it cuts nothing off, so that a long text is seen."""
    made = Tokenizer.from_file(str(Path(folder) / "tokenizer.json"))
    made.no_truncation()
    made.no_padding()
    return made


def read(body):
    """The JSON object of a request's bytes. Raises `Refused`."""
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refused(f"the body is not JSON ({error})") from None
    if not isinstance(asked, dict):
        raise Refused("the body is JSON but no object with `input_ids` or `text`")
    return asked


def token_ids(asked, tokenize):
    """The checked token ids of a request: its `input_ids`, or its `text` tokenized.

    Raises `Refused` for neither or both, for nothing in it, for more than 256 tokens or 4096
    characters and for ids that are not whole numbers of the vocabulary.
    """
    if ("input_ids" in asked) == ("text" in asked):
        raise Refused("give either `input_ids` or `text`")
    if "text" in asked:
        text = asked["text"]
        if not isinstance(text, str) or not text.strip():
            raise Refused("`text` must be a string with something in it")
        if len(text) > MAX_CHARACTERS:
            raise Refused(f"{len(text)} characters are more than the {MAX_CHARACTERS} of a text")
        try:
            ids = tokenize.encode(text).ids
        except (UnicodeError, TypeError) as error:
            raise Refused(f"`text` is no valid Unicode ({error})") from None
    else:
        ids = asked["input_ids"]
        if not isinstance(ids, list) or not ids:
            raise Refused("`input_ids` must be a list with at least one token id")
        for one in ids:
            if isinstance(one, bool) or not isinstance(one, int) or not 0 <= one < VOCABULARY:
                raise Refused(
                    f"`input_ids` holds {one!r:.40}; ids are whole numbers from 0 to "
                    f"{VOCABULARY - 1}"
                )
    if len(ids) > MAX_TOKENS:
        raise Refused(f"{len(ids)} tokens are more than the {MAX_TOKENS} of the model")
    return ids


def ids_or_refusal(body, tokenize):
    """The token ids that a request's bytes ask for, or the `Refused` that says why not."""
    try:
        return token_ids(read(body), tokenize)
    except Refused as refused:
        return refused


class Classifier:
    """The graph of the model in `folder`, on the CPU with so many threads for each call."""

    def __init__(self, folder, threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(Path(folder) / "model.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def run(self, batch):
        """One `[negative, positive]` of logits for each list of ids, computed together."""
        longest = max(len(ids) for ids in batch)
        input_ids = np.zeros((len(batch), longest), dtype=np.int64)
        mask = np.zeros_like(input_ids)
        for row, ids in enumerate(batch):
            input_ids[row, : len(ids)] = ids
            mask[row, : len(ids)] = 1
        (logits,) = self._session.run(["logits"], {"input_ids": input_ids, "attention_mask": mask})
        return logits.tolist()

    def run_each(self, batch):
        """The same, where a batch that fails is computed again one by one.

        Only those that fail alone get their exception instead of logits. A `Refused` in place of
        ids stays what it is.
        """
        asked = [ids for ids in batch if not isinstance(ids, Refused)]
        try:
            found = iter(self.run(asked) if asked else [])
        except Exception:
            found = map(self._alone, asked)
        return [ids if isinstance(ids, Refused) else next(found) for ids in batch]

    def _alone(self, ids):
        try:
            return self.run([ids])[0]
        except Exception as error:
            return error


def answer(logits):
    """What a request is answered, from its logits."""
    return {"label": LABELS[logits[1] > logits[0]], "logits": logits}


def respond(found):
    """The HTTP status and the document for logits, or for the exception in their place."""
    if isinstance(found, Exception):
        return 400 if isinstance(found, Refused) else 500, {"error": str(found)}
    return 200, answer(found)
