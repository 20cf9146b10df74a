"""The errors of this room."""

from measure.records import Status


class LoadError(Exception):
    """Something wrong before the load started: the message says what, where and what to do."""


class StreamError(Exception):
    """A request that did not end well.

    `kind` is a short stable word to count by (`gap_timeout`, `disconnected`, …); the message adds
    what a person wants to know. `status` is what the request's record will say.
    """

    def __init__(self, kind: str, detail: str = "", status: Status = Status.STREAM_ERROR) -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.status = status
