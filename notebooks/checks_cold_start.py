"""Checks of the exercise on cold starts: they hint where to look and never tell."""

import math

from notebooks.checks import Feedback
from notebooks.cold_start import Start

_CLOSE = 0.05


def early_traffic(
    start: Start, *, rate_rps: float, times_slower: object, too_early: object
) -> Feedback:
    """How much slower the first answer was, and what a rate of requests meets before it is ready.

    Args:
        start: the reader's own measurement.
        rate_rps: requests a second that arrive all the time.
        times_slower: the first answer's time over that of the last.
        too_early: how many requests come between the first 200 of the health check and the
            moment the server was steady.
    """
    for name, value in (("times_slower", times_slower), ("too_early", too_early)):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(float(str(value))):
            return Feedback(False, f"`{name}` is a number.")
    if not _close(times_slower, start.latencies_s[0] / start.last_s):
        return Feedback(
            False,
            "`times_slower` compares the answer that came first with how long answers took at the "
            "end: the two rows of the table that speak of answers, in the same unit.",
        )
    if not _close(too_early, rate_rps * max(start.steady_s - start.health_s, 0.0), at_least=1.0):
        return Feedback(
            False,
            "`times_slower` is right. For `too_early`, find the two moments in the table, how far "
            "they lie apart, and how many requests come in that time at this rate.",
        )
    return Feedback(
        True,
        "and none of these requests would have met it if the traffic had been held back until "
        "the warm-up had ended.",
    )


def _close(answer: object, truth: float, at_least: float = 0.0) -> bool:
    """Within 5%, as what is read off a table is rounded."""
    return abs(float(str(answer)) - truth) <= max(_CLOSE * abs(truth), at_least)
