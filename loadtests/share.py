"""Which part of a run's requests one of its workers sends. Pure."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """Worker `index` of `count`: it takes request `index`, `index + count`, and so on.

    Requests are numbered over the whole run, so all shares together hold exactly the prompts and
    the arrivals that one process alone would have.
    """

    index: int = 0
    count: int = 1

    def of(self, whole: Iterable[T]) -> Iterator[T]:
        """The part of a schedule that is this worker's."""
        return itertools.islice(whole, self.index, None, self.count)

    def numbers(self) -> Iterator[int]:
        """The numbers of this worker's requests, without end."""
        return itertools.count(self.index, self.count)

    def part(self, total: int) -> int:
        """How many of `total` things are this worker's, at least one."""
        return max(1, (total + self.count - 1 - self.index) // self.count)

    def request_id(self, name: str) -> str:
        """How a request is called in the records: `<worker>-<name>`, by `Talk.name`."""
        return f"{self.index}-{name}"
