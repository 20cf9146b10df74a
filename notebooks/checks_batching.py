"""Checks of the exercises on dynamic batching."""

import math
from collections.abc import Mapping

from measure.store import Run
from notebooks import batching
from notebooks.checks import Feedback


def price_of_being_alone(delayed: Run, undelayed: Run, *, answer_ms: object) -> Feedback:
    """What the queue delay costs a request that is alone, in milliseconds.

    Args:
        delayed: one user, with a queue delay.
        undelayed: one user, without.
        answer_ms: how far the medians of E2E are apart, right to a tenth of it or 0.2 ms.
    """
    given = _number(answer_ms)
    if given is None:
        return Feedback(False, "`paid_ms` is a number of milliseconds.")
    right = batching.medians_apart_s(delayed, undelayed) * 1e3
    if math.isnan(right):
        return Feedback(False, "one of the runs has no answered request: load it again.")
    if not math.isclose(given, right, rel_tol=0.1, abs_tol=0.2):
        return Feedback(
            False,
            "for `paid_ms`, take the medians of E2E of both runs with one user from their "
            "summaries; they are in seconds.",
        )
    return Feedback(True, "hold it against the delay that was set.")


def idlest(runs: Mapping[str, Run], *, answer: object) -> Feedback:
    """The run whose model computed for the smallest part of the time.

    Args:
        runs: on Triton's classifier, by name.
        answer: the name of one.
    """
    if not isinstance(answer, str) or answer not in runs:
        return Feedback(False, f"`idlest` is the name of a run: {'; '.join(runs)}.")
    busy = {name: batching.busy(run) for name, run in runs.items()}
    if any(math.isnan(part) for part in busy.values()):
        return Feedback(False, "a run has none of Triton's own numbers: load it again.")
    if busy[answer] > min(busy.values()):
        return Feedback(
            False,
            "for `idlest`, how many batches does Triton compute in a second of that run, and how "
            "long does one take? The two together are the seconds of each second it is busy.",
        )
    return Feedback(True, "and yet its users waited. No other resource was short: only company.")


def _number(answer: object) -> float | None:
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return None
    return float(answer) if math.isfinite(answer) else None
