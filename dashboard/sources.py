"""What metrics are about: engines, load tests, GPUs. From Prometheus and the lab's own state."""

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from dashboard import prometheus, promql
from dashboard.panels import PRESENT
from dashboard.prometheus import Failure, Series
from servers import instances
from servers.catalog import ENGINES
from servers.instances import Instance

GPU = "GPU"
LOAD_TEST = "load test"
MODEL_SERVERS = tuple(name for name, engine in ENGINES.items() if engine.job == "engine")
KINDS = (*MODEL_SERVERS, GPU, LOAD_TEST)
"""In the order that gives them their colours: no two engines have the same."""

FIRST_GONE = "its first process is gone"
"""The state of an instance that was killed and whose other processes live on."""
ALL_GONE = "its processes are gone"
"""The state of one that ended by itself or was killed: `lab down` leaves no state behind."""
_STATES = {"running": "runs", "starting": "starts", "unhealthy": FIRST_GONE, "dead": ALL_GONE}


@dataclass(frozen=True)
class Source:
    """Something that metrics are about: an instance of an engine, a load test, or a GPU.

    `kind` is the engine's name, `LOAD_TEST` or `GPU`. `state` is one word for people. `scraped`
    says whether Prometheus reaches it now. `uuid` is a GPU's. `title` is what people call it;
    what another lab's Prometheus scrapes may have none.
    """

    name: str
    kind: str
    state: str
    scraped: bool
    about: str = ""
    uuid: str = ""
    title: str = ""

    @property
    def is_load(self) -> bool:
        """Whether it is a load test."""
        return self.kind == LOAD_TEST

    @property
    def is_engine(self) -> bool:
        """Whether it is an instance of an engine."""
        return self.kind not in (LOAD_TEST, GPU)

    @property
    def series(self) -> str:
        """What the label says by which its series are told apart (`Panel.identity`)."""
        return self.uuid or self.name


MOST_UNASKED = 16
"""How many instances a page shows unasked: figures of more say nothing, and take minutes."""


def few(engines: Sequence[Source]) -> list[Source]:
    """Those shown unasked, in their order: what answers now comes before what does not."""
    ordered = sorted(engines, key=lambda one: not one.scraped)[:MOST_UNASKED]
    return [one for one in engines if one in ordered]


def state_here(instance: Instance) -> str:
    """How an instance of this machine is, by its processes: not whether it answers."""
    return _STATES[instances.by_processes(instance)]


def state_now(known: str | None, up: bool | None, *, is_load: bool = False) -> str:
    """One word for a state, on every page.

    `known` is what this machine's processes tell (`state_here`), `up` what the last scrape did;
    each is `None` where there is none. Processes that are gone say more than a scrape that failed.
    """
    if known == FIRST_GONE or (known in ("starts", ALL_GONE) and not up):
        return known
    if up is None:
        return known or "ended"
    # A load test that answers no more has ended; its target stays listed for a moment.
    silent = "ended" if is_load else "does not answer"
    return "runs" if up else silent


def local_sources() -> list[Source]:
    """The instances of engines that the lab started on this machine, whatever scrapes them."""
    found = []
    for instance in instances.all_instances():
        if instance.engine in MODEL_SERVERS:
            state = state_here(instance)
            about = instance.served_name or ""
            title = instance.title or ENGINES[instance.engine].title
            found.append(Source(instance.name, instance.engine, state, False, about, title=title))
    return found


def merge(
    local: Sequence[Source], seen: Sequence[Series], up_now: Sequence[Series]
) -> list[Source]:
    """Local instances and Prometheus's targets as one list: engines first, newest load first.

    `seen` are the targets of the whole time range, `up_now` those scraped now (value 1 or 0).
    """
    now = {series.labels.get("instance", ""): series.last for series in up_now}
    merged = {source.name: source for source in local}
    for series in seen:
        name, job = series.labels.get("instance", ""), series.labels.get("job")
        if not name or job not in ("engine", "client"):
            continue
        known = merged.get(name)
        kind = LOAD_TEST if job == "client" else series.labels.get("engine", "unknown engine")
        up = {1.0: True, 0.0: False}.get(now.get(name, math.nan))
        merged[name] = Source(
            name,
            known.kind if known else kind,
            state_now(known.state if known else None, up, is_load=job == "client"),
            now.get(name) == 1.0,
            known.about if known else "",
            title=known.title if known else series.labels.get("title", ""),
        )
    # Two stable sorts: names falling for load tests (newest run first), rising for engines.
    ordered = sorted(merged.values(), key=lambda source: source.name)
    loads = [source for source in reversed(ordered) if source.is_load]
    return [source for source in ordered if not source.is_load] + loads


def discover(url: str, span: promql.Span, at_s: float | None = None) -> list[Source] | Failure:
    """What ran during the span, newest facts first from Prometheus, then from this machine.

    `at_s` is the moment whose states are told, where it is not now.
    """
    length = int(span.end_s - span.start_s)
    expressions = (
        promql.by(
            "max",
            ["job", "instance", "engine", "title"],
            f"last_over_time({promql.selector('up')}[{length}s])",
        ),
        promql.selector("up"),
        promql.by(
            "max",
            ["UUID", "gpu", "modelName", "Hostname"],
            f"last_over_time({promql.selector(PRESENT)}[{length}s])",
        ),
    )
    with ThreadPoolExecutor(max_workers=len(expressions)) as pool:
        seen, up_now, of_gpus = pool.map(lambda one: prometheus.query(url, one, at_s), expressions)
    if isinstance(seen, Failure):
        return seen
    if isinstance(up_now, Failure):
        return up_now
    if isinstance(of_gpus, Failure):
        return of_gpus
    return merge(local_sources(), seen, up_now) + gpus(of_gpus)


def gpus(seen: Sequence[Series]) -> list[Source]:
    """The GPUs of these series, by number; with their machine's name where there are several."""
    machines = {series.labels.get("Hostname", "") for series in seen}
    found = {}
    for series in seen:
        name, uuid = f"GPU {series.labels.get('gpu', '?')}", series.labels.get("UUID", "")
        if len(machines) > 1:
            name = f"{series.labels.get('Hostname', '?')} {name}"
        if uuid:
            found[uuid] = Source(name, GPU, "", True, series.labels.get("modelName", ""), uuid)
    return sorted(found.values(), key=lambda source: source.name)
