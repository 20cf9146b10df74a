"""Can the client that took these numbers be believed? A pure function over facts about it."""

from dataclasses import dataclass, field
from enum import StrEnum

from measure.records import Clock, TokenSource

# A process that wants its core 85% of the time has no room for a burst; at 95% it queues nearly
# always, and what it queues for is itself. (M/D/1: the mean wait is 2.8 and 9.5 service times.)
# To want is to run or to be kept waiting by others on the machine: both delay what comes next.
CPU_SUSPECT = 0.85
CPU_INVALID = 0.95

# Half of one token's time at 20 ms a token: beyond it, user-space stamps and send times are off
# by more than what is measured. Ten times that distorts TTFT whatever the clock.
LOOP_LAG_SUSPECT_S = 0.010
LOOP_LAG_INVALID_S = 0.100
# Where the kernel stamps arrivals a late loop delays only the next request, which the schedule
# delay tells of in open loop. What is left is a client that hardly runs at all.
KERNEL_CLOCK_PATIENCE = 10

# The same two for requests that leave later than they were wanted.
DELAY_SUSPECT_S = 0.010
DELAY_INVALID_S = 0.100

# Offered and achieved differ by the few requests at the window's edges; 1% of them is more than
# that in any run long enough to be read, 5% is another load than the one named.
RATE_SUSPECT = 0.01
RATE_INVALID = 0.05
# ... and a difference this small is the window's edges, however short the run.
RATE_EDGE_REQUESTS = 2

# Two chunks with one stamp came in one read: the first may have waited for the second. A few
# happen on any busy machine and move no quantile that is reported with its interval; one in
# twenty reaches the p95. In most answers, with a loop that is itself late, TTFT is the client's.
MERGED_SUSPECT = 0.05
MERGED_INVALID = 0.50
# Any chunk that came in one read with the one before has a gap of 0, and its neighbour one that is
# too long: from 1% on the p99 of chunk gaps is theirs. A server may send several events at once,
# so it is held against the client only where its loop was late.
MERGED_GAPS_SUSPECT = 0.01

# A user-space stamp is taken when the process comes round to reading, so it waits for its core as
# any work does. From 70% of a core on that wait is, on average, longer than the reading itself
# (M/D/1: 1.17 service times).
USER_CLOCK_CPU_SUSPECT = 0.70


class Verdict(StrEnum):
    """How far a run can be believed."""

    VALID = "valid"
    SUSPECT = "suspect"
    INVALID = "invalid"


@dataclass(frozen=True)
class ClientStats:
    """What the load test says of itself at the end of a run.

    `cpu_s` is CPU time (user and system) of all its `processes` over `wall_s`, `core_wait_s` the
    time they were ready to run and had no core (Linux: the run delay of `/proc/self/schedstat`).
    `end_s` is the time on the run's clock when it stopped offering load, before it waited for
    requests in flight (`None`: `wall_s`). `cap_hits` counts requests that a limit on requests in
    flight held back. `lost_workers` are the processes that were gone before the run ended. What
    was not measured is `None`.
    """

    cpu_s: float
    wall_s: float
    max_in_flight: int
    loop_lag_p99_s: float | None = None
    cap_hits: int = 0
    processes: int = 1
    end_s: float | None = None
    lost_workers: tuple[str, ...] = ()
    core_wait_s: float = 0.0


@dataclass(frozen=True)
class Facts:
    """All that the verdict rests on. `offered` and `achieved` count requests in the window.

    `clocks` says how many requests each clock stamped (kernel, user). `offered` is `None` in
    closed loop, where nothing is asked for by a schedule. `merged_first_chunks` is the share of
    streamed answers whose first two chunks carry one stamp (`None`: there were none),
    `merged_chunks` that of all chunks but the first that carry the stamp of the one before.
    `schedule_delay` is the p99 of how late requests left, in seconds, with its name; of a sample
    too small for a p99 the furthest quantile it carries (`None`: no request left).
    `token_sources` says how many answers had their tokens counted by whom (`TokenSource`).
    `window_problem` is why the warm-up's rule could not be followed. `chunks_per_s` is what the
    client received, `ceiling_per_s` up to where it was calibrated, over all its processes (`None`:
    it was not). `cut_short_s` is when the load ended and when it was to end, if it was stopped
    before.
    """

    stats: ClientStats | None
    finished: bool
    total: int
    ok: int
    offered: int | None
    achieved: int
    schedule_delay: tuple[str, float] | None
    clocks: dict[str, int]
    merged_first_chunks: float | None = None
    merged_chunks: float | None = None
    token_sources: dict[str, int] = field(default_factory=dict)
    window_problem: str | None = None
    chunks_per_s: float | None = None
    ceiling_per_s: float | None = None
    cut_short_s: tuple[float, float] | None = None


def judge(facts: Facts) -> tuple[Verdict, list[str]]:
    """The verdict, and every reason against the run in plain words (none if it is valid)."""
    found = [
        *_requests(facts),
        *_finish(facts),
        *_window(facts.window_problem),
        *_machine(facts.stats, facts.clocks),
        *_ceiling(facts.chunks_per_s, facts.ceiling_per_s),
        *_pace(facts),
        *_clock(facts.clocks, facts.stats),
        *_merged(facts.merged_first_chunks, facts.stats),
        *_merged_gaps(facts.merged_chunks, facts.stats),
        *_tokens(facts.token_sources),
    ]
    worst = Verdict.VALID
    for verdict, _ in found:
        if verdict is Verdict.INVALID or worst is Verdict.VALID:
            worst = verdict
    return worst, [reason for _, reason in found]


Finding = tuple[Verdict, str]


def _requests(facts: Facts) -> list[Finding]:
    if facts.total == 0:
        return [(Verdict.INVALID, "no request falls into the window")]
    if facts.ok == 0:
        return [(Verdict.INVALID, f"none of the {facts.total} requests succeeded")]
    return []


def _finish(facts: Facts) -> list[Finding]:
    if facts.finished and facts.cut_short_s is not None:
        ended_s, asked_s = facts.cut_short_s
        return [
            (
                Verdict.SUSPECT,
                f"the load was stopped after {ended_s:.1f} of {asked_s:g} s: what was to come "
                "later is missing",
            )
        ]
    if facts.finished:
        return []
    return [
        (
            Verdict.SUSPECT,
            "the run did not finish: requests in flight at its end, the slow ones, are missing",
        )
    ]


def _window(problem: str | None) -> list[Finding]:
    return [] if problem is None else [(Verdict.SUSPECT, problem)]


def _core_share(seconds: float, stats: ClientStats) -> float:
    """Seconds of a core as a share of what one core for each process has."""
    core_s = stats.wall_s * stats.processes
    # A run that was ended before its first moment has no share to speak of.
    return seconds / core_s if core_s > 0 else 0.0


def _wanted_share(stats: ClientStats) -> float:
    """How much of the time the client ran or was kept from it."""
    return _core_share(stats.cpu_s + stats.core_wait_s, stats)


def _use(stats: ClientStats) -> str:
    used = _core_share(stats.cpu_s, stats)
    waited = _core_share(stats.core_wait_s, stats)
    if waited < 0.05:
        return f"the client used {used:.0%} of a core a process"
    return (
        f"the client used {used:.0%} of a core a process and was kept waiting for one {waited:.0%} "
        "of the time by other work on the machine"
    )


def _machine(stats: ClientStats | None, clocks: dict[str, int]) -> list[Finding]:
    if stats is None:
        return [(Verdict.SUSPECT, "nothing is known of the client's CPU and event loop")]
    found: list[Finding] = []
    share = _wanted_share(stats)
    if share > CPU_SUSPECT:
        found.append(
            (
                Verdict.INVALID if share > CPU_INVALID else Verdict.SUSPECT,
                f"{_use(stats)}: it may have measured itself",
            )
        )
    lag = stats.loop_lag_p99_s
    patience = 1 if clocks.get(Clock.USER) else KERNEL_CLOCK_PATIENCE
    if lag is not None and lag > patience * LOOP_LAG_SUSPECT_S:
        found.append(
            (
                Verdict.INVALID if lag > patience * LOOP_LAG_INVALID_S else Verdict.SUSPECT,
                f"the client's event loop was late by {lag * 1e3:.0f} ms at its p99",
            )
        )
    if stats.cap_hits:
        found.append(
            (
                Verdict.INVALID,
                f"the limit on requests in flight held back {stats.cap_hits} requests: "
                "the load was not the one asked for",
            )
        )
    if stats.lost_workers:
        names = ", ".join(stats.lost_workers)
        found.append(
            (
                Verdict.INVALID,
                f"the load lost {len(stats.lost_workers)} of its processes ({names}): what they "
                "would have sent, and what they had not handed over, is missing",
            )
        )
    return found


def _ceiling(chunks_per_s: float | None, ceiling_per_s: float | None) -> list[Finding]:
    if chunks_per_s is None or ceiling_per_s is None or chunks_per_s <= ceiling_per_s:
        return []
    return [
        (
            Verdict.SUSPECT,
            f"{chunks_per_s:,.0f} chunks a second came in, and this client is calibrated up to "
            f"{ceiling_per_s:,.0f}: how far its latencies are off is not known",
        )
    ]


def _pace(facts: Facts) -> list[Finding]:
    found: list[Finding] = []
    level, delay_s = facts.schedule_delay or ("", 0.0)
    if delay_s > DELAY_SUSPECT_S:
        found.append(
            (
                Verdict.INVALID if delay_s > DELAY_INVALID_S else Verdict.SUSPECT,
                f"requests left {delay_s * 1e3:.0f} ms after they were wanted, at the {level}",
            )
        )
    if facts.offered:
        missed = abs(facts.offered - facts.achieved)
        off = missed / facts.offered
        if off > RATE_SUSPECT and missed > RATE_EDGE_REQUESTS:
            found.append(
                (
                    Verdict.INVALID if off > RATE_INVALID else Verdict.SUSPECT,
                    f"{facts.offered} requests were offered and {facts.achieved} sent "
                    f"({off:.1%} apart)",
                )
            )
    return found


def _clock(clocks: dict[str, int], stats: ClientStats | None) -> list[Finding]:
    used = {name: count for name, count in clocks.items() if count}
    found: list[Finding] = []
    if len(used) > 1:
        counts = ", ".join(f"{count} by the {name} clock" for name, count in sorted(used.items()))
        found.append((Verdict.SUSPECT, f"arrivals were stamped by two clocks: {counts}"))
    busy = stats is not None and _wanted_share(stats) > USER_CLOCK_CPU_SUSPECT
    if used.get(Clock.USER) and stats is not None and busy:
        found.append(
            (
                Verdict.SUSPECT,
                f"arrivals were stamped by the user clock, and {_use(stats)}: the stamps hold its "
                "own waiting",
            )
        )
    return found


def _tokens(sources: dict[str, int]) -> list[Finding]:
    """Chunks counted as tokens, said where any number rests on such a count."""
    counted = sources.get(TokenSource.CHUNKS, 0)
    if not counted:
        return []
    return [
        (
            Verdict.SUSPECT,
            f"nobody counted the tokens of {counted} of {sum(sources.values())} answers, so their "
            "chunks were taken for tokens: where a chunk holds several, tokens/s, ITL and TPOT are "
            "wrong (a server that reports usage, or --tokenizer, mends it)",
        )
    ]


def _merged(share: float | None, stats: ClientStats | None) -> list[Finding]:
    if share is None or share <= MERGED_SUSPECT:
        return []
    lag = None if stats is None else stats.loop_lag_p99_s
    late = lag is not None and lag > LOOP_LAG_SUSPECT_S
    return [
        (
            Verdict.INVALID if late and share > MERGED_INVALID else Verdict.SUSPECT,
            f"in {share:.0%} of answers the first chunk arrived in one read with the next: their "
            "TTFT is an upper bound (a late client, or a server that sends several tokens at once)",
        )
    ]


def _merged_gaps(share: float | None, stats: ClientStats | None) -> list[Finding]:
    lag = None if stats is None else stats.loop_lag_p99_s
    if share is None or share <= MERGED_GAPS_SUSPECT or not lag or lag <= LOOP_LAG_SUSPECT_S:
        return []
    return [
        (
            Verdict.INVALID if share > MERGED_INVALID else Verdict.SUSPECT,
            f"{share:.0%} of chunks arrived in one read with the one before, and the client's "
            f"event loop was late by {lag * 1e3:.0f} ms at its p99: the tail of chunk gaps is its "
            "own",
        )
    ]
