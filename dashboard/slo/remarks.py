"""What to mind of runs that are held against an SLO. Pure."""

from collections.abc import Mapping, Sequence

from dashboard.slo.measured import Held, Measured
from dashboard.words import t
from measure.slo import Slo


def remarks(found: Sequence[Measured], held: Sequence[Held], slos: Mapping[str, Slo]) -> list[str]:
    """What was left out, does not compare, or looks better than it was; `slos` by run."""
    said = []
    without = [one.run_id for one in found if not slos[one.run_id].asked]
    if without:
        said.append(
            t("Left out, for they were asked to keep to nothing: {runs}.", runs=_several(without))
        )
    if len({str(slos[one.run_id]) for one, _ in held}) > 1:
        said.append(t("The runs are held against different SLOs: their numbers do not compare."))
    invalid = [one.run_id for one, _ in held if one.verdict == "invalid" and not one.running]
    if invalid:
        said.append(
            t(
                "The client of {runs} is invalid: shown as open crosses, in no line and in no "
                "conclusion.",
                runs=_several(invalid),
            )
        )
    cut = [one.run_id for one, _ in held if one.many_cut_off]
    if cut:
        said.append(
            t(
                "In {runs} many requests were cut off when the load ended. They are neither good "
                "nor bad here, and most had waited long: the attainment was lower than it looks.",
                runs=_several(cut),
            )
        )
    undefined = [one.run_id for one, held_ in held if held_.undefined]
    if undefined:
        said.append(
            t(
                "In {runs} answers have no ITL or TPOT (one token, or one piece) and so miss an "
                "SLO on it.",
                runs=_several(undefined),
            )
        )
    return said


def _several(names: Sequence[str], most: int = 4) -> str:
    few = ", ".join(names[:most])
    if len(names) <= most:
        return few
    return t("{few} and {count} more", few=few, count=len(names) - most)
