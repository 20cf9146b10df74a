"""Checks of the exercises on serving patterns."""

import math
from collections.abc import Mapping

from measure.store import Run
from notebooks.checks import Feedback

_NEEDS = {
    "a chat window": "streaming",
    "ten million reviews, by tomorrow": "batch",
    "a spam filter in front of a mailbox": "synchronous",
    "a video to be transcribed, from a phone": "asynchronous",
}


def needs() -> list[str]:
    """The four needs of the exercise."""
    return list(_NEEDS)


def choice(*, answer: object) -> Feedback:
    """A pattern for each need: synchronous, asynchronous, streaming or batch.

    Args:
        answer: from each of `needs()` to a pattern.
    """
    if not isinstance(answer, Mapping) or set(answer) != set(_NEEDS):
        return Feedback(False, f"`chosen` has a pattern for each of: {', '.join(_NEEDS)}.")
    known = set(_NEEDS.values())
    if not set(answer.values()) <= known:
        return Feedback(False, f"the patterns are: {', '.join(sorted(known))}.")
    right = sum(answer[need] == pattern for need, pattern in _NEEDS.items())
    if right < len(_NEEDS):
        return Feedback(
            False,
            f"{right} of {len(_NEEDS)} fit. Ask of each: does somebody wait at the other end, will "
            "the connection last as long as the work, and is a part of the answer of use?",
        )
    return Feedback(True, "each need has the pattern that costs it least.")


def seen_earlier(run: Run, *, answer: object) -> Feedback:
    """How many times longer a reader would wait for the first word without streaming.

    Args:
        run: an online run of a language model.
        answer: the median of E2E over the median of TTFT, right to a tenth of it.
    """
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return Feedback(False, "`times` is a number.")
    first_s, whole_s = run.summary["ttft_s"]["p50"], run.summary["e2e_s"]["p50"]
    if not first_s or not whole_s:
        return Feedback(False, "the run has no such medians: load it again.")
    if not math.isclose(answer, whole_s / first_s, rel_tol=0.1):
        return Feedback(
            False,
            "for `times`: when does a reader see something with streaming, when without? Both "
            "medians are in the run's summary.",
        )
    return Feedback(True, "that factor grows with every token of the answer.")
