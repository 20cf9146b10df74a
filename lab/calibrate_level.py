"""What calibration says of one level of load, and the ceiling that follows from several. Pure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from lab.calibrate_truth import Joined
from measure.quantiles import Floats, quantile
from measure.verdict import Verdict

# What the instrument promises: TTFT (p50, p99) within 1% of the truth, or within a millisecond.
ALLOWED_SHARE = 0.01
ALLOWED_S = 0.001
# A server that sends half a token's time late at its p99 is no longer the server it was set to be.
SERVER_LATE_S = 0.010


@dataclass(frozen=True)
class Compared:
    """One quantile, true and as measured, of the same requests or gaps, in seconds."""

    true_s: float
    measured_s: float

    @property
    def error_s(self) -> float:
        """Measured − true."""
        return self.measured_s - self.true_s

    @property
    def within(self) -> bool:
        """Whether the error is one that the instrument allows itself."""
        return abs(self.error_s) <= max(ALLOWED_S, ALLOWED_SHARE * self.true_s)


@dataclass(frozen=True)
class Level:
    """One level: `streams` users of a closed loop on `processes` of the load test.

    `worst_ttft_error_s` is the largest error of any single request, with its sign.
    `server_late_p99_s` says how late the server sent what it had planned: the truth holds all the
    same, but the machine was not the one asked for. `unmatched` answers could not be compared.
    """

    processes: int
    streams: int
    requests: int
    unmatched: int
    tokens_per_s: float
    ttft_p50: Compared
    ttft_p99: Compared
    gap_p50: Compared
    gap_p99: Compared
    worst_ttft_error_s: float
    server_late_p99_s: float
    cpu_us_per_chunk: float | None
    verdict: str
    reasons: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Whether TTFT is within what is allowed, by a client that may be believed."""
        return self.ttft_p50.within and self.ttft_p99.within and self.verdict != Verdict.INVALID

    def as_dict(self) -> dict[str, Any]:
        """For the calibration file: quantiles with their errors in seconds."""
        facts = asdict(self)
        for name in ("ttft_p50", "ttft_p99", "gap_p50", "gap_p99"):
            facts[name]["error_s"] = getattr(self, name).error_s
        return facts


@dataclass(frozen=True)
class Ceiling:
    """The highest token rate up to which every level held; 0 if not even the lowest did.

    `limit` says what came first above it: the `client` measured wrongly or was starved, the
    `server` (or the machine they share) could not keep its times so that more could not be tried,
    or `None`, nothing: the ceiling is higher than what was tried.
    """

    tokens_per_s: float
    limit: Literal["client", "server"] | None


def level(joined: Joined, *, processes: int, streams: int, summary: dict[str, Any]) -> Level | None:
    """The figures of one level; `None` if no answer could be compared."""
    if not joined.ttft_true_s.size:
        return None
    errors_s = joined.ttft_measured_s - joined.ttft_true_s
    client = summary["client"]
    return Level(
        processes=processes,
        streams=streams,
        requests=int(errors_s.size),
        unmatched=joined.unmatched,
        tokens_per_s=float(summary["output_tokens_per_s"] or 0.0),
        ttft_p50=_compared(joined.ttft_true_s, joined.ttft_measured_s, 0.5),
        ttft_p99=_compared(joined.ttft_true_s, joined.ttft_measured_s, 0.99),
        gap_p50=_compared(joined.gap_true_s, joined.gap_measured_s, 0.5),
        gap_p99=_compared(joined.gap_true_s, joined.gap_measured_s, 0.99),
        worst_ttft_error_s=float(errors_s[abs(errors_s).argmax()]),
        server_late_p99_s=quantile(joined.late_s, 0.99),
        cpu_us_per_chunk=client["cpu_us_per_chunk"],
        verdict=str(client["verdict"]),
        reasons=tuple(str(reason) for reason in client["reasons"]),
    )


def ceiling(levels: Sequence[Level]) -> Ceiling:
    """The ceiling that these levels of one number of processes show."""
    reached, late = 0.0, False
    for one in sorted(levels, key=lambda one: one.streams):
        if not one.holds:
            return Ceiling(reached, "client")
        reached = max(reached, one.tokens_per_s)
        # A late server's truth is still what it sent; only at the top is it what limits.
        late = one.server_late_p99_s > SERVER_LATE_S
    return Ceiling(reached, "server" if late else None)


def _compared(true_s: Floats, measured_s: Floats, at: float) -> Compared:
    return Compared(quantile(true_s, at), quantile(measured_s, at))
