"""One request of a run, and the Arrow schema it is stored under.

All times are seconds on one monotonic clock, counted from the start of the run; the manifest's
`epoch_s` is the wall-clock time of that zero, which joins records with Prometheus series.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import pyarrow as pa


class Status(StrEnum):
    """How a request ended."""

    OK = "ok"
    HTTP_ERROR = "http_error"
    STREAM_ERROR = "stream_error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"


class TokenSource(StrEnum):
    """Who counted the output tokens: the server, a tokenizer, or nobody (chunks were counted)."""

    USAGE = "usage"
    TOKENIZER = "tokenizer"
    CHUNKS = "chunks"
    NONE = "none"


class Clock(StrEnum):
    """Who stamped the arrivals: the kernel at packet arrival, or this process after its read."""

    KERNEL = "kernel"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Record:
    """One request, as the client saw it. `None` means that the moment never came.

    `chunk_s` holds the arrival time of every content chunk, `first_content_s` and
    `last_content_s` being its first and last; a request that does not stream has one chunk.
    """

    request_id: str
    worker: int
    scheduled_s: float
    sent_s: float | None = None
    first_content_s: float | None = None
    last_content_s: float | None = None
    done_s: float | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    first_chunk_tokens: int | None = None
    token_source: TokenSource = TokenSource.NONE
    chunk_s: list[float] = field(default_factory=list)
    chunks: int = 0
    status: Status = Status.OK
    http_status: int | None = None
    error: str | None = None
    clock: Clock = Clock.USER


SCHEMA = pa.schema(
    [
        pa.field("request_id", pa.string(), nullable=False),
        pa.field("worker", pa.int32(), nullable=False),
        pa.field("scheduled_s", pa.float64(), nullable=False),
        pa.field("sent_s", pa.float64()),
        pa.field("first_content_s", pa.float64()),
        pa.field("last_content_s", pa.float64()),
        pa.field("done_s", pa.float64()),
        pa.field("prompt_tokens", pa.int32()),
        pa.field("output_tokens", pa.int32()),
        pa.field("first_chunk_tokens", pa.int32()),
        pa.field("token_source", pa.string(), nullable=False),
        pa.field("chunk_s", pa.list_(pa.float64()), nullable=False),
        pa.field("chunks", pa.int32(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("http_status", pa.int32()),
        pa.field("error", pa.string()),
        pa.field("clock", pa.string(), nullable=False),
    ]
)
