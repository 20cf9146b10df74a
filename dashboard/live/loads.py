"""Load tests on the page: how each looks, what it is called, and when it ran."""

import re
import zlib
from collections.abc import Mapping, Sequence

from dashboard import prometheus, promql, sources, theme
from dashboard.figures import Stretch
from dashboard.prometheus import Failure, Series
from dashboard.sources import Source
from dashboard.theme import DASHES, Line

_ENGINES = sorted(sources.MODEL_SERVERS, key=len, reverse=True)
_RUN_ID = re.compile(r"\d{8}-(\d\d)(\d\d)(\d\d)-(.+)")


def lines(shown: Sequence[Source], dark: bool) -> dict[str, Line]:
    """How each source is drawn: engines and GPUs by kind, each load test unlike all others.

    Load tests take the colours that no engine on the page has, the same one as long as they are
    shown together with the same engines.
    """
    others = {one.name: one.kind for one in shown if not one.is_load}
    found = theme.lines_for_instances(others, sources.KINDS, dark)
    colours = theme.palette(dark)
    free = [one for one in colours if one not in {line.colour for line in found.values()}]
    free = free or list(colours)
    taken: set[Line] = set()
    for name in sorted(one.name for one in shown if one.is_load):
        wanted = zlib.crc32(name.encode())
        looks = [
            Line(free[(wanted + i) % len(free)], DASHES[(1 + i // len(free)) % len(DASHES)])
            for i in range(len(free) * len(DASHES))
        ]
        found[name] = next((look for look in looks if look not in taken), looks[0])
        taken.add(found[name])
    return found


def called(name: str) -> str:
    """A run's name without date and engine, which stand elsewhere on the page: `09:15:00 chat`."""
    found = _RUN_ID.fullmatch(name)
    if found is None:
        return name
    *clock, what = found.groups()
    engine = next((f"{one}-" for one in _ENGINES if what.startswith(f"{one}-")), "")
    return f"{':'.join(clock)} {what.removeprefix(engine)}"


def stretches(
    url: str, span: promql.Span, loads: Sequence[Source], look: Mapping[str, Line]
) -> list[Stretch] | Failure:
    """When each of these load tests ran, as Prometheus saw it."""
    if not loads:
        return []
    matchers = {"job": "client", "instance": [one.name for one in loads]}
    up = promql.by("max", ["instance"], promql.selector("up", matchers))
    answer = prometheus.query_range(url, f"{up} == 1", span)
    return answer if isinstance(answer, Failure) else marked(answer, span, look)


def marked(seen: Sequence[Series], span: promql.Span, look: Mapping[str, Line]) -> list[Stretch]:
    """The stretches of these series of `up`, each to the step after its last."""
    return [
        Stretch(
            called(name),
            look[name],
            series.times_s[0],
            min(series.times_s[-1] + span.step_s, span.end_s),
        )
        for series in seen
        if (name := series.labels.get("instance", "")) in look and series.times_s
    ]
