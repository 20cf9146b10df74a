"""Checks of the exercises on a batcher written by hand."""

import math
import random

from measure.store import Run
from notebooks import own_batcher
from notebooks.checks import Feedback
from notebooks.own_batcher import DELAY_S, SIZE, TICK_S, Story

_PATTERNS = 40
_TOLERANCE_S = 1e-6


def rule(answer: object) -> Feedback:
    """A rule that lets a batch go when it is full, or when its oldest request is due.

    Args:
        answer: from the number that wait and the seconds the oldest has waited, the seconds to
            wait on; played to forty patterns of arrivals.
    """
    if not callable(answer):
        return Feedback(False, "`rule` is a function of `waiting` and `oldest_s`.")
    for seed in range(_PATTERNS):
        try:
            story = own_batcher.by_rule(answer, arrivals(seed))
        except RuntimeError:
            return Feedback(False, "with some arrivals your batcher waits for ever.")
        except Exception as error:
            return Feedback(False, f"your rule raised {type(error).__name__}: {error}.")
        fault = _fault(story)
        if fault:
            return Feedback(False, f"with some arrivals {fault}.")
    return Feedback(True, f"{_PATTERNS} patterns of arrivals, and nobody waits without need.")


def ticks_waited(run: Run, *, answer: object) -> Feedback:
    """How many ticks a request of the naive batcher waited, on average.

    Args:
        run: on the engine's naive batcher, as it comes.
        answer: the mean wait for a batch over the tick, right to a tenth of it.
    """
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return Feedback(False, "`ticks` is a number.")
    right = own_batcher.account(run).queue_s / TICK_S
    if math.isnan(right):
        return Feedback(False, "the run has none of the engine's own numbers: load it again.")
    if not math.isclose(answer, right, rel_tol=0.1):
        return Feedback(
            False,
            "for `ticks`, take the mean wait for a batch from the engine's own account of that "
            "run, in ticks.",
        )
    return Feedback(True, "hold it against what the guides say.")


def arrivals(seed: int) -> list[float]:
    """Bursts, pairs and lone requests, in seconds; the same for the same seed."""
    draw = random.Random(seed)
    at_s, found = 0.0, []
    for _ in range(12):
        at_s += draw.choice((0.0, 0.0007, 0.0031, 0.021))
        found += [at_s + 0.0001 * place for place in range(draw.choice((1, 1, 2, 5, 11)))]
    return sorted(found)


def _fault(story: Story) -> str:
    """The first batch that goes early or late, in words; empty if there is none."""
    idle_since_s = 0.0
    for number in sorted({one.batch for one in story.requests}):
        batch = [one for one in story.requests if one.batch == number]
        began_s, due_s = batch[0].began_s, batch[0].arrived_s + DELAY_S
        full_s = batch[-1].arrived_s if len(batch) == SIZE else math.inf
        should_s = max(min(due_s, full_s), idle_since_s)
        if began_s > should_s + _TOLERANCE_S:
            return "a batch waits on although it is full, or its oldest request is due"
        if began_s < should_s - _TOLERANCE_S:
            return "a batch goes that is not full, before its oldest request is due"
        idle_since_s = batch[0].ended_s
    return ""
