"""Everything that `dashboard.told` is to tell, made by those who make it: reasons, warnings, alerts."""

import re
from itertools import chain, combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from dashboard_runs import records, write_run
from hypothesis import strategies as st

from dashboard import engine_side, units
from dashboard.compare import definition_tables, scatter, tables
from measure import compare, table, window
from measure.records import Clock, TokenSource
from measure.rosetta import definitions
from measure.rosetta_tools import TOOLS
from measure.slo import Slo
from measure.store import open_run
from measure.verdict import ClientStats, Facts, judge
from servers.catalog import ENGINES
from servers.prometheus import rules
from servers.prometheus.objectives import BURNS, Objectives

NAMES = st.from_regex("[a-z][0-9]{1,6}", fullmatch=True)


def window_problems() -> list[str]:
    """Every reason why a warm-up's rule could not be followed, by the rules themselves."""
    noise = np.random.default_rng(2).lognormal(0, 0.5, 1000)
    short, drifts = noise[:50], noise * np.linspace(1.0, 1.5, 1000)
    changes = noise * np.where(np.arange(1000) < 700, 9.0, 1.0)
    found = [_cut(one, {"rule": "steady"}) for one in (short, changes, drifts)]
    return [*found, _cut(short, {"rule": "count", "requests": 900})]


def _cut(e2e_s: Any, warmup: dict[str, Any]) -> str:
    sent_s = 0.1 * np.arange(e2e_s.size)
    moments = dict.fromkeys(("first_content_s", "last_content_s", "done_s"), sent_s + e2e_s)
    records = pa.table(
        {"scheduled_s": sent_s, "sent_s": sent_s, **moments, "status": ["ok"] * e2e_s.size}
    )
    load = {"warmup": warmup, "arrival": {"kind": "closed"}, "duration_s": 1e3}
    problem = window.cut(records, {"load": load}, 1e3).problem
    assert problem is not None
    return problem


PROBLEMS = window_problems()
SHARES, SECONDS = st.none() | st.floats(0, 1), st.floats(0, 1e4)
COUNTS = st.integers(0, 10**6)
STATS = st.builds(
    ClientStats,
    cpu_s=SECONDS,
    wall_s=st.just(0.0) | st.floats(0.001, 1e4),
    max_in_flight=COUNTS,
    loop_lag_p99_s=st.none() | st.floats(0, 100),
    cap_hits=COUNTS,
    processes=st.integers(1, 64),
    lost_workers=st.lists(NAMES, max_size=4).map(tuple),
    core_wait_s=SECONDS,
)
FACTS = st.builds(
    Facts,
    stats=st.none() | STATS,
    finished=st.booleans(),
    total=COUNTS,
    ok=COUNTS,
    offered=st.none() | COUNTS,
    achieved=COUNTS,
    schedule_delay=st.none() | st.tuples(st.sampled_from(["p50", "p90", "p99"]), SECONDS),
    clocks=st.dictionaries(st.sampled_from([str(one) for one in Clock]), COUNTS),
    merged_first_chunks=SHARES,
    merged_chunks=SHARES,
    token_sources=st.dictionaries(st.sampled_from([str(one) for one in TokenSource]), COUNTS),
    window_problem=st.none() | st.sampled_from(PROBLEMS),
    chunks_per_s=st.none() | SECONDS,
    ceiling_per_s=st.none() | SECONDS,
    cut_short_s=st.none() | st.tuples(SECONDS, SECONDS),
)
# A client about which there is everything to say: with the other examples, every reason there is.
WORST = Facts(
    stats=ClientStats(9.0, 10.0, 9, 0.5, 3, 1, None, ("w1", "w2"), 5.0),
    finished=True,
    total=9,
    ok=0,
    offered=100,
    achieved=50,
    schedule_delay=("p99", 0.5),
    clocks={"kernel": 5, "user": 4},
    merged_first_chunks=0.6,
    merged_chunks=0.3,
    token_sources={"chunks": 3, "usage": 6},
    chunks_per_s=2e4,
    ceiling_per_s=1e4,
    cut_short_s=(3.5, 8.0),
)
BUSY = Facts(ClientStats(9.0, 10.0, 9), False, 0, 0, None, 0, None, {"user": 9})
UNKNOWN = Facts(None, True, 9, 9, None, 9, None, {})


def run(name: str, **facts: Any) -> Any:
    """What `measure.compare.warnings` looks at of a run."""
    counts = {"cancelled": facts.get("cancelled", 0), "total": 1000}
    client = {"verdict": facts.get("verdict", "valid"), "reasons": facts.get("reasons", [])}
    arrival = {"kind": facts.get("kind", "closed")}
    return SimpleNamespace(
        run_id=name,
        running=facts.get("running", False),
        finished=facts.get("finished", True),
        summary={"client": client, "requests": counts},
        manifest={
            "engine": {"ended_in_run": facts.get("ended", False)},
            "load": {"arrival": arrival},
        },
    )


RUNS = st.builds(
    run,
    NAMES,
    cancelled=st.integers(0, 1000),
    verdict=st.sampled_from([None, "valid", "suspect", "invalid"]),
    reasons=FACTS.map(lambda facts: judge(facts)[1]),
    kind=st.sampled_from(["closed", "poisson"]),
    running=st.booleans(),
    finished=st.booleans(),
    ended=st.booleans(),
)
ODD_RUNS = [
    run("r1", verdict="suspect", reasons=judge(WORST)[1], cancelled=400, ended=True),
    run("r2", verdict="invalid", reasons=judge(BUSY)[1], finished=False, kind="poisson"),
    run("r3", verdict=None, running=False),
    run("r4", finished=False, running=True),
]
ASKED = ("load.prompt.kind", "load.output_tokens.mean", "load.scenario")
DIFFERENT = [
    [compare.Setting(name, (1, 2)) for name in several]
    for several in chain.from_iterable(
        combinations((*ASKED, "machine.cpu"), n) for n in range(len(ASKED) + 2)
    )
]

ARRIVALS = [
    {"kind": "closed", "users": 1},
    {"kind": "closed", "users": 16},
    {"kind": "constant", "rate_rps": 4.0},
    {"kind": "poisson", "rate_rps": 0.5},
    {"kind": "gamma", "rate_rps": 0.5, "burstiness": 0.25},
    {"kind": "ramp", "from_rps": 1.0, "to_rps": 10.0},
    {"kind": "spike", "base_rps": 2.0, "peak_rps": 20.0},
    {"kind": "diurnal", "low_rps": 1.0, "high_rps": 8.0},
    {"kind": "steps", "rates_rps": [2.0, 4.0]},
    {"kind": "trace", "file": "a1", "speed": 1.0},
    {"kind": "trace", "run_id": "r1", "speed": 2.0},
    {"kind": "batch", "requests": 64},
]

LEVELS = ("mean", *table.LEVELS, "max")
TITLES = {*table.TITLES.values(), "E2E from schedule"}


def row_titles() -> list[str]:
    """All that a row of Compare can be called, and an axis, and its unit."""
    scalars = [tables.row_title(compare.Row(name, None, "", ()), {}) for name in compare._SCALARS]
    named = [
        tables.row_title(compare.Row("x", level, "s", ()), {"x": title})
        for title in TITLES
        for level in LEVELS
    ]
    sides = [
        f"{title} {level}"
        for title, _ in engine_side.CONCEPTS.values()
        for level in engine_side.LEVELS
    ]
    batches = [title for title, _ in engine_side.BATCHES.values()]
    batches += [f"{title}, {engine_side.AT_END}" for title in batches]
    measures = [units.TITLES[unit] for unit in (*tables.UNITS.values(), "bytes")]
    columns = ["count", *table.COLUMNS.values()]
    return [*scalars, *named, *sides, *batches, scatter.PEAK_MEMORY, *measures, *columns, *TITLES]


def definition_texts(folder: Path) -> list[str]:
    """In what other tools differ from us, and what numbers and columns are called beside them."""
    write_run(folder, "a", records(60), slo=Slo(ttft_s=0.1, tpot_s=0.02), warmup_s=0.0)
    lines = definitions(open_run(folder / "a"))
    shown = definition_tables._RATES.values()
    read = [why for line in lines for reading in line.readings for why in reading.why]
    said = [
        why
        for tool in TOOLS
        for why in (
            *(meaning.differs for meaning in tool.latencies.values()),
            *(tool.quantile_differs, tool.span_differs, tool.tokens_differ, tool.good_differs),
            tool.error_differs,
        )
        if why is not None
    ]
    return list(dict.fromkeys([*read, *said, *shown, definition_tables.OURS]))


SAMPLES = (
    (r"\{\{ with .*? \}\}\{\{.*?\}\}%\{\{ end \}\}", "12.3%"),
    (r"\{\{ if .*? \}\}(.*?)\{\{ end \}\}", r"\1"),
    (r"\{\{ \$value \| humanizePercentage \}\}", "97.5%"),
    (r"\{\{ \$value \| humanizeDuration \}\}", "1m 5s"),
    (r"\{\{ \$value \| humanize \}\}", "1.5"),
    (r"\{\{ \$value \}\}", "3"),
    (r"\{\{ \$labels\.bound_s \}\}", "0.625"),
    (r"\{\{ \$labels\.(instance|job) \}\}", "i1"),
    (r"\{\{ \$labels\.rule_group \}\}", "/a b/r;g1"),
)


def alert_texts() -> list[str]:
    """What alerts say, whatever was asked of Prometheus: their templates filled in."""
    asked = [
        Objectives(ttft_s, e2e_s, share, windows)
        for windows in BURNS
        for share in (0.94, 0.99, 0.9999)
        for ttft_s, e2e_s in ((0.5, 0.2), (0.001, 60.0), (0.45, 0.0123))
    ]
    found = dict.fromkeys(
        rule["annotations"][name]
        for one in asked
        for group in rules.groups(list(ENGINES.values()), one)
        for rule in group["rules"]
        if "alert" in rule
        for name in sorted(rule["annotations"].keys() - {"notebook"})
    )
    return [filled for one in found for filled in _filled(one)]


def _filled(template: str) -> list[str]:
    for pattern, sample in SAMPLES:
        template = re.sub(pattern, sample, template)
    seen_by = [template.replace("{{ $labels.seen_by }}", by) for by in ("client", "engine")]
    assert "{{" not in seen_by[0]
    return list(dict.fromkeys(seen_by))
