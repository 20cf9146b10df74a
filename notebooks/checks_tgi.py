"""Checks of the exercise on TGI's overload and its knobs."""

from measure.store import Run
from notebooks import tgi
from notebooks.checks import Feedback


def overload(run: Run, *, share: object, status: object) -> Feedback:
    """What part of a load was refused, and how HTTP tells it of a stream.

    Args:
        run: in which some requests were refused.
        share: refused requests over all that were counted, right to a hundredth.
        status: the HTTP status of a refused one.
    """
    if isinstance(share, bool) or not isinstance(share, int | float):
        return Feedback(False, "`share` is a number from 0 to 1.")
    total = run.summary["requests"]["total"]
    if not tgi.refused(run):
        return Feedback(False, "nothing was refused in this run: raise the rate and load again.")
    if abs(float(share) - tgi.refused(run) / total) > 0.01:
        return Feedback(
            False,
            "for `share`, both numbers are in the run's summary: `requests`, and there `total`, "
            "and what the errors are counted by.",
        )
    if status not in tgi.statuses(run) or isinstance(status, bool):
        return Feedback(
            False,
            "for `status`, look at what a record of a refused request has as `http_status`, not "
            "at what a guide says of overload.",
        )
    return Feedback(True, "who counts HTTP statuses alone sees no refusal of a stream at all.")


def counterpart(*, of: str, answer: object) -> Feedback:
    """vLLM's knob for the idea behind one of TGI's.

    Args:
        of: TGI's knob.
        answer: vLLM's, by the lab's name.
    """
    right = {one: other for one, other, _ in tgi.PAIRS}[of]
    if answer != right:
        return Feedback(False, f"for the counterpart of {of}, read what each of the two bounds.")
    return Feedback(True, "the name differs, the trade does not.")
