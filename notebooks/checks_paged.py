"""Checks of the exercises on the paged KV cache."""

import math

from measure.store import Run
from notebooks import paged
from notebooks.checks import Feedback

_GIB = 2**30


def places(cache: paged.Cache, run: Run, *, answer: object) -> Feedback:
    """How many requests as long as the longest of a run the cache holds whole at once.

    Args:
        cache: of the engine; one of its blocks is for no request.
        run: gives the length, prompt and answer together.
        answer: a whole number.
    """
    if isinstance(answer, bool) or not isinstance(answer, int) or answer < 1:
        return Feedback(False, "`places` is a whole number from 1 on.")
    length = paged.longest(run)
    if not length:
        return Feedback(False, "the run has no answered request: load it again.")
    if answer != cache.requests_of(length):
        return Feedback(
            False,
            "for `places`, a request takes whole blocks, also where its last one is part empty; "
            "one block is never a request's; and part of a request is no place.",
        )
    return Feedback(True, "if more are let in than that, some answers find no block to grow into.")


def budget(
    *, bytes_per_token: int, block_tokens: int, length: int, requests: int, answer_gib: object
) -> Feedback:
    """The memory that holds so many requests of a length at once, in GiB.

    Args:
        bytes_per_token: of the model, in the format of the cache.
        block_tokens: of the engine.
        length: tokens of a request, prompt and answer.
        requests: how many at once.
        answer_gib: right to a five-hundredth of it: a single block is missed.
    """
    if isinstance(answer_gib, bool) or not isinstance(answer_gib, int | float):
        return Feedback(False, "`needed_gib` is a number of GiB.")
    blocks = math.ceil(length / block_tokens) * requests + 1
    right = blocks * block_tokens * bytes_per_token / _GIB
    if not math.isclose(float(answer_gib), right, rel_tol=0.002):
        return Feedback(
            False,
            "for `needed_gib`, count the whole blocks of one request, then of all, and the one "
            "that is no request's; a block takes its tokens times the bytes of one; a GiB is "
            "2**30 bytes; give three digits at least.",
        )
    return Feedback(True, "that is `kv_cache_gib`, and what a bigger model multiplies.")
