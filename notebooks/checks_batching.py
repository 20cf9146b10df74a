"""Checks of the exercises on dynamic batching."""

import math

from measure.store import Run
from notebooks import batching, kit
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


def longest_wait(*runs: Run, answer: object) -> Feedback:
    """The run whose requests spent the largest share of their time waiting in the queue.

    Args:
        runs: on Triton's classifier, in the order of the table.
        answer: the run's row in the table, counted from 0.
    """
    if isinstance(answer, bool) or not isinstance(answer, int) or not 0 <= answer < len(runs):
        rows = ", ".join(f"{place}: {name}" for place, name in enumerate(kit.labels(runs)))
        return Feedback(False, f"`worst` is the number of a row: {rows}.")
    shares = batching.waiting_share(runs)
    if any(math.isnan(share) for share in shares):
        return Feedback(False, "a run has none of Triton's own numbers: load it again.")
    if shares[answer] < max(shares):
        return Feedback(
            False,
            "for `worst`, divide the mean wait in the queue by the mean E2E latency, run by run: "
            "it is the share that counts, not the seconds.",
        )
    return Feedback(True, "that is where the batcher's setting and the load do not fit.")


def _number(answer: object) -> float | None:
    if isinstance(answer, bool) or not isinstance(answer, int | float):
        return None
    return float(answer) if math.isfinite(answer) else None
