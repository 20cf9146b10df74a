"""How much of a run's start does not count: the rule, as written by people and in the manifest.

5s       fixed: so much time
200req   count: until so many requests were answered
auto     steady: until the steady state, found in the run itself (`measure.steady`)
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, cast, get_args

from measure.durations import parse_duration_s
from measure.errors import MeasureError

Rule = Literal["fixed", "count", "steady"]

_COUNT = re.compile(r"(\d+)\s*req(?:uests)?")


@dataclass(frozen=True)
class Warmup:
    """The rule; `duration_s` goes with `fixed`, `requests` with `count`, nothing with `steady`."""

    rule: Rule = "fixed"
    duration_s: float | None = 0.0
    requests: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Warmup":
        """Read `5s`, `500ms`, `200req` or `auto`; a bare number is seconds.

        Raises:
            MeasureError: it is none of these.
        """
        word = text.strip()
        if word == "auto":
            return cls("steady", None)
        count = _COUNT.fullmatch(word)
        if count and int(count[1]) > 0:
            return cls("count", None, int(count[1]))
        try:
            return cls("fixed", parse_duration_s(word))
        except MeasureError:
            raise MeasureError(
                f"The warm-up {text!r} is not understood. Write how long it is (5s, 500ms), how "
                "many answers it takes (200req), or auto: it then ends where the run's latency is "
                "steady."
            ) from None

    @classmethod
    def of(cls, load: Mapping[str, Any]) -> "Warmup":
        """From a manifest's `load`; older ones have `warmup_s` only.

        Raises:
            MeasureError: it is none that this version knows.
        """
        facts = load.get("warmup")
        if facts is None:
            return cls("fixed", float(load.get("warmup_s") or 0.0))
        wrong = problem(facts)
        if wrong:
            raise MeasureError(f"The manifest's load.warmup {wrong}.")
        duration_s = float(facts["duration_s"]) if facts["rule"] == "fixed" else None
        requests = int(facts["requests"]) if facts["rule"] == "count" else None
        return cls(cast(Rule, facts["rule"]), duration_s, requests)

    def as_dict(self) -> dict[str, Any]:
        """For the manifest: the rule and what goes with it."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        """In the form that `parse` reads."""
        if self.rule == "steady":
            return "auto"
        return f"{self.requests}req" if self.rule == "count" else f"{self.duration_s:g}s"


def problem(facts: object) -> str | None:
    """What is wrong with a manifest's `load.warmup`, or `None`."""
    if not isinstance(facts, Mapping) or facts.get("rule") not in get_args(Rule):
        return f"is {facts!r}, and its rule must be one of {', '.join(get_args(Rule))}"
    for rule, name, kind in (("fixed", "duration_s", int | float), ("count", "requests", int)):
        value = facts.get(name)
        if facts["rule"] == rule and (
            not isinstance(value, kind) or isinstance(value, bool) or value < 0
        ):
            return f"is {dict(facts)!r}, and {rule} needs {name}, a number of 0 or more"
    return None
