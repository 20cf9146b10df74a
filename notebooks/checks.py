"""What an answer to an exercise is held against: it hints where to look and never tells.

Every check reads the reader's own runs, because the numbers differ from machine to machine.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from measure import latency, rosetta
from measure.quantiles import LEVELS
from measure.store import Run
from notebooks import tails
from notebooks.instruments import Beside


class NotYet(AssertionError):
    """An answer that is not right yet. JupyterLab shows its hint without the stack."""

    def _render_traceback_(self) -> list[str]:
        return [f"Not yet: {self}"]


@dataclass(frozen=True)
class Feedback:
    """Whether the answer is right, and a sentence: praise or a hint."""

    ok: bool
    text: str

    def __repr__(self) -> str:
        return f"{'Right' if self.ok else 'Not yet'}: {self.text}"

    def require(self) -> "Feedback":
        """Itself if the answer is right.

        Raises:
            NotYet: it is not; a wrong solution in a source therefore fails its execution.
        """
        if not self.ok:
            raise NotYet(self.text)
        return self


def instance_name(run: Run) -> str:
    """The name of the instance a run was made on, as the reader knows it."""
    return str(run.manifest["engine"]["instance"])


def first_token(first: Run, second: Run, *, faster: object, told_apart: object) -> Feedback:
    """Which of two runs has the lower median TTFT, and whether their intervals are apart.

    Args:
        first: a run.
        second: a run on an instance of another name.
        faster: the name of the instance with the lower p50 of TTFT.
        told_apart: `True` if the two 95% intervals of p50 share no value.
    """
    names = [instance_name(first), instance_name(second)]
    if faster not in names:
        return Feedback(False, f"`faster` is the name of an instance: {' or '.join(names)}.")
    if not isinstance(told_apart, bool):
        return Feedback(False, "`told_apart` is True or False.")
    p50 = [run.summary["ttft_s"]["p50"] for run in (first, second)]
    if None in p50:
        return Feedback(
            False, "one of the runs has no answered request, so it has no median: load it again."
        )
    if p50[names.index(str(faster))] > min(p50):
        return Feedback(
            False, "read the row `TTFT p50` once more, with its units: less time is faster."
        )
    if told_apart != intervals_apart(first.summary["ttft_s"], second.summary["ttft_s"], "p50"):
        return Feedback(
            False,
            "`faster` is right. For `told_apart`, look at the brackets of that row: two intervals "
            "overlap as soon as some value lies in both, and one that is missing proves nothing.",
        )
    return Feedback(True, "that is what these two runs can bear, and no more.")


def deepest_quantile(run: Run, *, quantity: str, answer: object) -> Feedback:
    """The furthest quantile of a run's quantity that has a 95% interval.

    Args:
        run: the run asked about.
        quantity: a key of its summary, such as `ttft_s`.
        answer: the quantile's name, `p50` to `p999`, or `none`.
    """
    if answer not in ["none", *LEVELS]:
        return Feedback(False, f"the answer is one of none, {', '.join(LEVELS)}, as text.")
    interval = run.summary[quantity]["ci95"]
    carried = [level for level in LEVELS if interval[level] is not None]
    if answer == "none":
        told = "so few independent requests carry no interval at all: a longer run would."
        return Feedback(not carried, "a row of that table has brackets." if carried else told)
    if not carried:
        return Feedback(False, "no row has brackets: only a longer run would have them.")
    if interval[str(answer)] is None:
        return Feedback(False, "that row has no brackets: the sample is too small for it.")
    if answer != carried[-1]:
        return Feedback(False, "that row has brackets, but look at the rows below it as well.")
    return Feedback(True, "anything further out would be a guess about requests not yet sent.")


def serial_calls(run: Run, *, level: str, answer: object) -> Feedback:
    """From how many serial calls on it is likelier than not that one of them is slow.

    Args:
        run: gives the share of slow calls: those whose TTFT is beyond its quantile `level`.
        level: `p50` to `p999`.
        answer: a whole number; numpy's are welcome.
    """
    calls = _whole(answer)
    if calls is None or calls < 1:
        return Feedback(False, "`calls` is a whole number from 1 on.")
    told = run.summary["ttft_s"]
    if told[level] is None:
        return Feedback(False, f"the run has too few answers for a {level}: load it again, longer.")
    ttft_s = latency.ttft_s(run.counted)
    share = float((ttft_s[~np.isnan(ttft_s)] > told[level]).mean())
    if calls != tails.calls_until_likely(share):
        return Feedback(
            False,
            "for `calls`, begin with the chance that a page has *no* slow call: every one of its "
            "calls must be fast. Then find the first number for which that is below one half.",
        )
    return Feedback(True, "rare for a call is not rare for a chain of them.")


def slower_shares(runs: Sequence[Run], *, limit_s: float, answer: object) -> Feedback:
    """The share of each run's counted requests whose TTFT from schedule is above a limit.

    Args:
        runs: the runs, in the order of the answer.
        limit_s: the limit, in seconds.
        answer: a share for each run, right to a hundredth of it (or a thousandth of all).
    """
    shares = answer if isinstance(answer, list | tuple) else ()
    given = [_number(share) for share in shares]
    if len(given) != len(runs) or any(share is None or not 0 <= share <= 1 for share in given):
        return Feedback(False, f"the answer is {len(runs)} shares from 0 to 1, as a pair.")
    for run, share in zip(runs, given, strict=True):
        assert share is not None
        delays_s = latency.ttft_from_schedule_s(run.counted)
        right = float((delays_s > limit_s).mean()) if delays_s.size else math.nan
        if not math.isclose(share, right, rel_tol=0.01, abs_tol=0.001):
            kind = run.manifest["load"]["arrival"]["kind"]
            return Feedback(
                False,
                f"look at the {kind} run again: `kit.values` gives the delay of every counted "
                f"request in seconds; count those above {limit_s:g} and divide by all.",
            )
    return Feedback(True, "the server was the same; who was asked about it was not.")


def least_requests(*, level: float, answer: object) -> Feedback:
    """The least number of independent requests that carry an interval of a quantile.

    Args:
        level: of the quantile.
        answer: a whole number.
    """
    count = _whole(answer)
    if count is None or count < 1:
        return Feedback(False, "`needed` is a whole number from 1 on.")
    if count != tails.least_count(level):
        return Feedback(
            False,
            f"interval_ranks({count}, {level:g}) and interval_ranks({count - 1 or 1}, {level:g}) "
            "must be a pair and None: search for the place where one turns into the other.",
        )
    return Feedback(True, "and that is where the widest interval begins, not a narrow one.")


def largest_error(clients: Beside, *, answer_ms: object) -> Feedback:
    """The largest error of a TTFT of any request, in milliseconds.

    Args:
        clients: true and measured TTFT of the same requests.
        answer_ms: right to a hundredth of it.
    """
    given = _number(answer_ms)
    if given is None:
        return Feedback(False, "`worst_ms` is a number of milliseconds.")
    if not clients.error_s.size:
        return Feedback(False, "there is no request to look at: run that client again.")
    right = float(clients.error_s[np.abs(clients.error_s).argmax()]) * 1e3
    if not math.isclose(abs(given), abs(right), rel_tol=0.01, abs_tol=1e-6):
        return Feedback(
            False,
            "for `worst_ms`, take measured minus true of each request by itself, and then the "
            "largest; the seconds of the arrays are not milliseconds.",
        )
    return Feedback(True, "one request, and the server had no part in it.")


def client_share(run: Run, *, answer: object) -> Feedback:
    """Which part of the mean TTFT from schedule is the client's own delay.

    Args:
        run: of an open loop.
        answer: a share, right to a hundredth of all.
    """
    given = _number(answer)
    if given is None or not 0 <= given <= 1:
        return Feedback(False, "`share` is a number from 0 to 1.")
    means = [run.summary[key]["mean"] for key in ("schedule_delay_s", "ttft_from_schedule_s")]
    if None in means or not means[1]:
        return Feedback(False, "the run has no answered request: load it again.")
    if abs(given - means[0] / means[1]) > 0.01:
        return Feedback(
            False,
            "for `share`, the summary of the run has a mean of both: of how late requests left, "
            "and of the time from when they were wanted to the first token.",
        )
    return Feedback(True, "that part is the instrument's; no server can be blamed for it.")


def furthest_tool(run: Run, *, metric: str, level: str, answer: object) -> Feedback:
    """The tool whose reading of one number is furthest from the lab's.

    Args:
        run: the run that is read.
        metric: a key of `measure.rosetta.UNITS`, such as `tpot_s`.
        level: `mean`, `p50`, `p90` or `p99`.
        answer: the tool's name, as the table of definitions has it.
    """
    (line,) = (
        one for one in rosetta.definitions(run) if (one.metric, one.level) == (metric, level)
    )
    known = {one.tool: one.value for one in line.readings if one.value is not None}
    names = [one.tool for one in line.readings]
    if not isinstance(answer, str) or answer not in names:
        return Feedback(False, f"`odd` is the name of a tool: {', '.join(names)}.")
    if line.ours is None or not known:
        return Feedback(False, "the run has no such number: load it again.")
    apart = {tool: abs(value - line.ours) for tool, value in known.items()}
    if answer not in known or apart[answer] < max(apart.values()):
        return Feedback(
            False,
            "read that row of the table once more: *same* is no distance, a dash is no number.",
        )
    return Feedback(True, "and the reasons say what it counts in.")


def _whole(answer: object) -> int | None:
    """A whole number, numpy's included; a truth value is none."""
    if isinstance(answer, bool | np.bool_) or not isinstance(answer, int | np.integer):
        return None
    return int(answer)


def _number(answer: object) -> float | None:
    """A number that is not NaN or infinite; a truth value is none."""
    if isinstance(answer, bool | np.bool_):
        return None
    if not isinstance(answer, int | float | np.integer | np.floating):
        return None
    return float(answer) if math.isfinite(answer) else None


def intervals_apart(first: Mapping[str, Any], second: Mapping[str, Any], level: str) -> bool:
    """Whether two described samples (`measure.quantiles.describe`) have intervals without a
    common value at this level. A missing interval tells nothing apart."""
    one, other = first["ci95"][level], second["ci95"][level]
    if one is None or other is None:
        return False
    return bool(one[1] < other[0] or other[1] < one[0])
