"""What a master and its workers tell each other, as Locust's messages. Pure.

    master -> worker   PREPARE  what was asked for on the master's command line
    worker -> master   PREPARED all is well, or why not
    master -> worker   BEGIN    the run: its name, its zero, this worker's share of it
    worker -> master   BATCH    twice a second: the records since, and two gauges
    worker -> master   FINISHED  its share of a schedule that has an end is over and answered
    master -> worker   END      the load ends now
    worker -> master   DONE     all records are sent; what the worker says of itself

Each is a dict of plain values: msgpack carries them.
"""

from dataclasses import asdict, dataclass
from typing import Any

PREPARE = "serving-lab-prepare"
PREPARED = "serving-lab-prepared"
BEGIN = "serving-lab-begin"
BATCH = "serving-lab-batch"
FINISHED = "serving-lab-finished"
END = "serving-lab-end"
DONE = "serving-lab-done"


@dataclass(frozen=True)
class Prepare:
    """`options` are parsed options by name.

    `streams` is how many requests a worker may have under way; with `all_of_them` it must be able
    to have as many open connections.
    """

    options: dict[str, Any]
    streams: int
    all_of_them: bool


@dataclass(frozen=True)
class Prepared:
    """`worker` is its name for people; `refusal` is why it cannot take part (`None`: it can).

    `wall_s` is its wall clock as it answers.
    """

    worker: str
    wall_s: float
    refusal: str | None = None


@dataclass(frozen=True)
class Begin:
    """The run, as worker `index` of `count` drives it. `epoch_s` is the zero, by the wall clock."""

    run_id: str
    epoch_s: float
    ends_s: float | None
    index: int
    count: int


@dataclass(frozen=True)
class Batch:
    """`records` is a serialised Arrow batch, empty if no request has ended since the last."""

    run_id: str
    records: bytes
    in_flight: int
    loop_lag_s: float


@dataclass(frozen=True)
class Finished:
    """`end_s` is when the last arrival of the share was due, on the run's clock."""

    run_id: str
    end_s: float


@dataclass(frozen=True)
class Done:
    """`stats` are the fields of `ClientStats`, of one process. `left`: it was not asked to end."""

    run_id: str
    stats: dict[str, Any]
    left: bool


Message = Prepare | Prepared | Begin | Batch | Finished | Done


def pack(message: Message) -> dict[str, Any]:
    """The message as Locust sends it."""
    return asdict(message)
