"""From the flags of an open loop to its schedule: what may go together, and what is meant. Pure."""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from loadtests import arrivals
from loadtests.errors import LoadError
from loadtests.traces import Trace, read_trace
from measure.durations import parse_duration_s
from measure.errors import MeasureError
from measure.warmup import Warmup

# What each kind of arrival cannot be without, and what it may have besides.
_NEEDS = {
    "constant": ("rate",),
    "poisson": ("rate",),
    "gamma": ("rate", "burstiness"),
    "ramp": ("rate",),
    "steps": ("rate",),
    "spike": ("rate", "spike"),
    "diurnal": ("rate",),
    "trace": ("trace",),
}
_TAKES = {"diurnal": ("period",), "trace": ("speed",)}
KINDS = tuple(_NEEDS)
# Outside of these nothing is meant, and floats run over or under.
_LEAST, _MOST = 1e-6, 1e6

_EXAMPLES = {
    "constant": "--rate 4",
    "poisson": "--rate 4",
    "gamma": "--rate 4 --burstiness 0.5",
    "ramp": "--rate 1:10, from 1 to 10 requests a second over the load",
    "steps": "--rate 2,4,8, each for its equal part of the load",
    "spike": "--rate 2:20 --spike 20s+10s, 20 requests a second for 10 s from second 20 on, else 2",
    "diurnal": "--rate 1:8 --period 10m, from 1 to 8 requests a second and back every 10 minutes",
    "trace": "--trace FILE --speed 2, twice as fast as it was",
}


@dataclass(frozen=True)
class ArrivalFlags:
    """The flags of an open loop as they were written, `None` where one was not."""

    arrival: str | None = None
    rate: str | None = None
    burstiness: str | None = None
    spike: str | None = None
    period: str | None = None
    trace: str | None = None
    speed: str | None = None

    def argv(self) -> list[str]:
        """The same flags for a command line."""
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return [word for name, value in given.items() for word in (f"--{name}", value)]


@dataclass(frozen=True)
class Schedule:
    """When requests shall start.

    `facts` are the manifest's `load.arrival`: the kind and every parameter. `offsets_s` draws the
    times from a seed. `trace` is the one that is replayed, whose end is the end of the load.
    """

    facts: dict[str, Any]
    offsets_s: Callable[[int], Iterator[float]]
    trace: Trace | None = None


def schedule_of(flags: ArrivalFlags, duration_s: float | None) -> Schedule | None:
    """The schedule that is asked for; `None` in a closed loop, where there is none.

    Raises:
        LoadError: what was written is no schedule, or its trace cannot be read.
    """
    if flags.arrival is None:
        given = next((n for n, value in asdict(flags).items() if value is not None), None)
        if given is None:
            return None
        kind = next((k for k in KINDS if given in (*_NEEDS[k][1:], *_TAKES.get(k, ()))), "poisson")
        kind = "trace" if given == "trace" else kind
        raise LoadError(f"--{given} makes an open loop, which also needs --arrival {kind}.")
    _must_fit(flags)
    return _MAKERS[flags.arrival](flags, duration_s)


def must_outlast(schedule: Schedule | None, warmup: Warmup) -> None:
    """Raise `LoadError` if the schedule's trace, and the load with it, ends within the warm-up."""
    trace = schedule.trace if schedule else None
    if schedule is None or trace is None or warmup.duration_s is None:
        return
    ends_s = schedule.facts["ends_s"]
    if ends_s < warmup.duration_s:
        raise LoadError(
            f"The trace is over at {ends_s:g} s, and the load with it, so that the warm-up of "
            f"{warmup.duration_s:g} s leaves nothing to measure: write a shorter one, such as "
            "--warmup 0s."
        )


def _must_fit(flags: ArrivalFlags) -> None:
    kind = flags.arrival
    if kind not in _NEEDS:
        raise LoadError(f"--arrival is {kind!r}, and can be {', '.join(KINDS)}.")
    written = {n for n, value in asdict(flags).items() if value is not None} - {"arrival"}
    like = f"Write for instance --arrival {kind} {_EXAMPLES[kind]}."
    for name in _NEEDS[kind]:
        if name not in written:
            raise LoadError(
                f"--arrival {kind} makes an open loop, which also needs --{name}. {like}"
            )
    for name in sorted(written - {*_NEEDS[kind], *_TAKES.get(kind, ())}):
        own = "a trace has its own times" if (kind, name) == ("trace", "rate") else "it has no use"
        raise LoadError(f"--{name} does not go with --arrival {kind}: {own}. {like}")


def _constant(flags: ArrivalFlags, duration_s: float | None) -> Schedule:
    (rate_rps,) = _rates(flags, 1)
    return Schedule(
        {"kind": "constant", "rate_rps": rate_rps}, lambda seed: arrivals.constant(rate_rps)
    )


def _poisson(flags: ArrivalFlags, duration_s: float | None) -> Schedule:
    (rate_rps,) = _rates(flags, 1)
    return Schedule(
        {"kind": "poisson", "rate_rps": rate_rps}, lambda seed: arrivals.poisson(rate_rps, seed)
    )


def _gamma(flags: ArrivalFlags, duration_s: float | None) -> Schedule:
    (rate_rps,) = _rates(flags, 1)
    burstiness = _positive("--burstiness", flags.burstiness)
    return Schedule(
        {"kind": "gamma", "rate_rps": rate_rps, "burstiness": burstiness},
        lambda seed: arrivals.gamma(rate_rps, burstiness, seed),
    )


def _ramp(flags: ArrivalFlags, duration_s: float | None) -> Schedule:
    from_rps, to_rps = _rates(flags, 2)
    over_s = _known("ramp", duration_s)
    return Schedule(
        {"kind": "ramp", "from_rps": from_rps, "to_rps": to_rps, "over_s": over_s},
        lambda seed: arrivals.ramp(from_rps, to_rps, over_s, seed),
    )


def _steps(flags: ArrivalFlags, duration_s: float | None) -> Schedule:
    rates_rps = _rates(flags, None)
    each_s = _known("steps", duration_s) / len(rates_rps)
    return Schedule(
        {"kind": "steps", "rates_rps": list(rates_rps), "each_s": each_s},
        lambda seed: arrivals.steps(rates_rps, each_s, seed),
    )


def _spike(flags: ArrivalFlags, duration_s: float | None) -> Schedule:
    base_rps, peak_rps = _rates(flags, 2)
    start_s, length_s = _start_and_length(str(flags.spike))
    if duration_s is not None and start_s >= duration_s:
        raise LoadError(
            f"--spike {flags.spike} begins at {start_s:g} s, and the load is over at "
            f"{duration_s:g} s: let it begin earlier, or make the load longer."
        )
    facts = {"base_rps": base_rps, "peak_rps": peak_rps, "start_s": start_s, "length_s": length_s}
    return Schedule(
        {"kind": "spike", **facts},
        lambda seed: arrivals.spike(base_rps, peak_rps, start_s, length_s, seed),
    )


def _diurnal(flags: ArrivalFlags, duration_s: float | None) -> Schedule:
    low_rps, high_rps = _rates(flags, 2)
    if low_rps > high_rps:
        raise LoadError(
            f"--rate {flags.rate} of --arrival diurnal is low:high, and {low_rps:g} is above "
            f"{high_rps:g}: write {high_rps:g}:{low_rps:g}."
        )
    if flags.period is not None:
        period_s = _duration("--period", flags.period)
    else:
        period_s = _known("diurnal", duration_s)
    return Schedule(
        {"kind": "diurnal", "low_rps": low_rps, "high_rps": high_rps, "period_s": period_s},
        lambda seed: arrivals.diurnal(low_rps, high_rps, period_s, seed),
    )


def _trace(flags: ArrivalFlags, duration_s: float | None) -> Schedule:
    speed = 1.0 if flags.speed is None else _positive("--speed", flags.speed)
    trace = read_trace(Path(str(flags.trace)))
    facts = {"kind": "trace", **trace.facts, "speed": speed, "ends_s": trace.last_s / speed}
    return Schedule(facts, lambda seed: arrivals.replay(trace.times_s(), speed), trace)


_MAKERS: dict[str, Callable[[ArrivalFlags, float | None], Schedule]] = {
    "constant": _constant,
    "poisson": _poisson,
    "gamma": _gamma,
    "ramp": _ramp,
    "steps": _steps,
    "spike": _spike,
    "diurnal": _diurnal,
    "trace": _trace,
}


def _rates(flags: ArrivalFlags, count: int | None) -> tuple[float, ...]:
    """The numbers of `--rate`: one, two with a colon between, or any number of them by commas."""
    kind, text = str(flags.arrival), str(flags.rate)
    parts = [text] if count == 1 else text.split("," if count is None else ":")
    values = tuple(_number(part) for part in parts)
    # One rate of several may be 0: a pause, or a ramp that begins from nothing.
    fit = all(value == 0 or _LEAST <= value <= _MOST for value in values) and any(values)
    if not fit or count not in (None, len(values)) or (count is None and len(values) < 2):
        what = {1: "one number", 2: "two numbers, as A:B", None: "two or more numbers, as A,B,C"}
        raise LoadError(
            f"--rate {text} does not fit --arrival {kind}, which takes {what[count]} of requests "
            f"a second, above 0 and at most {_MOST:.0f}. Write for instance {_EXAMPLES[kind]}."
        )
    return values


def _number(text: str | None) -> float:
    try:
        return float(text or "")
    except ValueError:
        return math.nan


def _positive(flag: str, text: str | None) -> float:
    value = _number(text)
    if not _LEAST <= value <= _MOST:
        raise LoadError(f"{flag} {text} is no number above 0 (and at most {_MOST:.0f}).")
    return value


def _duration(flag: str, text: str) -> float:
    try:
        value_s = parse_duration_s(text)
    except MeasureError as error:
        raise LoadError(f"{flag}: {error}") from None
    if value_s <= 0:
        raise LoadError(f"{flag} {text} must be above zero.")
    return value_s


def _start_and_length(text: str) -> tuple[float, float]:
    match = re.fullmatch(r"([^+]+)\+([^+]+)", text)
    if match is None:
        raise LoadError(
            f"--spike {text} is not START+LENGTH. Write 20s+10s for 10 seconds from second 20 on."
        )
    try:
        start_s = parse_duration_s(match[1])
    except MeasureError as error:
        raise LoadError(f"--spike: {error}") from None
    return start_s, _duration("--spike", match[2])


def _known(kind: str, duration_s: float | None) -> float:
    if not duration_s:
        other = " (or its --period)" if kind == "diurnal" else ""
        raise LoadError(
            f"--arrival {kind} follows the length of the load: say how long it is{other}."
        )
    return duration_s
