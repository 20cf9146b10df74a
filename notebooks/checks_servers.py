"""Checks of the exercises on servers of one classifier."""

import math
from collections.abc import Sequence

from measure.store import Run
from notebooks import five_servers, kit
from notebooks.checks import Feedback, intervals_apart


def quickest(runs: Sequence[Run], *, name: object, told_apart: object) -> Feedback:
    """Which server has the lowest median, and whether the second lowest is told apart from it.

    Args:
        runs: one of each server, as in the table.
        name: the row of the server with the lowest E2E p50.
        told_apart: `True` if its interval of p50 and that of the next server share no value.
    """
    medians = five_servers.medians(runs)
    if name not in medians:
        return Feedback(False, f"`quickest` is one of the rows: {', '.join(medians)}.")
    if not isinstance(told_apart, bool):
        return Feedback(False, "`told_apart` is True or False.")
    order = sorted(medians, key=lambda one: medians[one])
    if medians[str(name)] > medians[order[0]]:
        return Feedback(False, "read the column `E2E p50` once more, with its units.")
    if len(order) < 2:
        return Feedback(False, "only one server answered: load the others again.")
    facts = dict(
        zip(kit.labels(runs), (run.summary[five_servers.LATENCY] for run in runs), strict=True)
    )
    if told_apart != intervals_apart(facts[order[0]], facts[order[1]], "p50"):
        return Feedback(
            False,
            "`quickest` is right. For `told_apart`, look at the whiskers of the two lowest "
            "medians: two intervals overlap as soon as some value lies in both.",
        )
    return Feedback(True, "and on this machine, with this model and at this rate only.")


def price_of_the_delay(delayed: Run, undelayed: Run, *, answer_ms: object) -> Feedback:
    """By how many milliseconds the median fell when the batcher's delay was turned off.

    Args:
        delayed: the server with a queue delay.
        undelayed: the same one without.
        answer_ms: the difference of the medians, right to a tenth of it or 0.2 ms.
    """
    if isinstance(answer_ms, bool) or not isinstance(answer_ms, int | float):
        return Feedback(False, "`gained_ms` is a number of milliseconds.")
    before, after = (run.summary[five_servers.LATENCY]["p50"] for run in (delayed, undelayed))
    if before is None or after is None:
        return Feedback(False, "one of the runs has no answered request: load it again.")
    if not math.isclose(answer_ms, (before - after) * 1e3, rel_tol=0.1, abs_tol=0.2):
        return Feedback(
            False,
            "for `gained_ms`, take the two medians from the last table, or from the runs' "
            "summaries, where they are in seconds.",
        )
    return Feedback(True, "one knob, and no other server: hold it against the gaps in the figure.")
