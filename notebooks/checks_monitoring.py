"""Checks of the exercises on monitoring: they hint where to look and never tell."""

import math
from collections.abc import Callable, Sequence

from dashboard.prometheus import Series
from measure.store import Run
from notebooks import monitoring
from notebooks.checks import Feedback
from notebooks.errors import NotebookError

_CLOSE = 0.02
_METRIC = "model_request_latency_seconds_bucket"

Ask = Callable[[str, float | None], Sequence[Series]]


def together(
    query: object, runs: Sequence[Run], *, level: float, ask: Ask = monitoring.ask
) -> Feedback:
    """Whether a query gives the quantile of all replicas' requests together.

    Args:
        query: the reader's PromQL.
        runs: the loads over whose span it is to be asked, one a replica.
        level: which quantile.
        ask: who answers: an expression and a moment to series.
    """
    if not isinstance(query, str):
        return Feedback(False, "`query` is PromQL as a text.")
    span = monitoring.span_of(*runs)
    try:
        answer = ask(query, span.end_s)
    except NotebookError as problem:
        return Feedback(False, str(problem))
    if len(answer) != 1:
        return Feedback(
            False,
            f"`query` has {len(answer)} series for an answer, and one number is asked for. With "
            "none, some label's value fits nothing; with several, the replicas, or the labels of "
            "a bucket, are still told apart when the quantile is taken.",
        )
    instances = "|".join(str(run.manifest["engine"]["instance"]) for run in runs)
    chosen = f'{{route="/classify", status="200", instance=~"{instances}"}}'
    buckets = f"sum by (le) (increase({_METRIC}{chosen}[{monitoring.length(span)}]))"
    truth = ask(f"histogram_quantile({level}, {buckets})", span.end_s)[0].last
    if not math.isclose(answer[0].last, truth, rel_tol=_CLOSE):
        return Feedback(
            False,
            "`query` gives one number, and another one. Which quantile, which requests, which "
            "span? And in which order: counts are added up first, the quantile is taken last.",
        )
    return Feedback(True, "added up first, the quantile last, in seconds.")


def burnt(
    run: Run, *, limit_s: float, objective: float, days: float, burn: object, hours: object
) -> Feedback:
    """The burn rate of a whole run, and how long a budget of so many days lasts at it.

    Args:
        run: the reader's own.
        limit_s: what was promised.
        objective: to which share of requests.
        days: for how long the budget is meant.
        burn: how many times faster than allowed it is used up.
        hours: after how many hours it is gone.
    """
    for name, value in (("burnt", burn), ("hours", hours)):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(float(str(value))):
            return Feedback(False, f"`{name}` is a number.")
    missed = 1 - float(monitoring.good(run, limit_s).mean())
    rate = missed / (1 - objective)
    if not math.isclose(float(str(burn)), rate, rel_tol=_CLOSE):
        return Feedback(
            False,
            "for `burnt`, which share of the requests did not keep the promise, and which share "
            "may break it? How many times does the second go into the first?",
        )
    if not math.isclose(float(str(hours)), 24 * days / rate, rel_tol=_CLOSE):
        return Feedback(
            False,
            "`burnt` is right. A burn rate of 1 uses the budget up in the whole time it is meant "
            "for; for `hours`, how much sooner is it gone at yours?",
        )
    return Feedback(True, "which is how much time an overload leaves you to do something.")
