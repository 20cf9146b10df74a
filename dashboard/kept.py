"""What was read once and is kept while there is room: bounded by bytes, not by how many."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass
class _Slot(Generic[T]):
    """What is kept under a name, and of which stamp it is; its lock is held while it is made."""

    lock: Lock = field(default_factory=Lock)
    stamp: Hashable = None
    value: T | None = None
    size_bytes: int = 0


class Kept(Generic[T]):
    """The things used last, as many as fit into `limit_bytes`; the very last one always.

    Safe for threads: one that asks for what another is making waits for it.
    """

    def __init__(self, limit_bytes: int, size_bytes: Callable[[T], int]) -> None:
        """`size_bytes` says what a thing takes."""
        self._limit_bytes = limit_bytes
        self._size_bytes = size_bytes
        self._slots: OrderedDict[str, _Slot[T]] = OrderedDict()
        self._lock = Lock()

    def get(self, name: str, stamp: Hashable, make: Callable[[], T]) -> T:
        """What is kept under `name`, made anew if its stamp is another; the old one goes first."""
        with self._lock:
            slot = self._slots.setdefault(name, _Slot())
            self._slots.move_to_end(name)
        with slot.lock:
            if slot.value is None or slot.stamp != stamp:
                slot.value, slot.size_bytes = None, 0
                made = make()
                slot.value, slot.stamp, slot.size_bytes = made, stamp, self._size_bytes(made)
            value = slot.value
        self._make_room()
        return value

    def holds(self, name: str, stamp: Hashable) -> bool:
        """Whether it is there, with this stamp."""
        with self._lock:
            slot = self._slots.get(name)
            return slot is not None and slot.value is not None and slot.stamp == stamp

    @property
    def total_bytes(self) -> int:
        """What everything that is kept takes."""
        with self._lock:
            return sum(slot.size_bytes for slot in self._slots.values())

    def _make_room(self) -> None:
        with self._lock:
            total = sum(slot.size_bytes for slot in self._slots.values())
            while total > self._limit_bytes and len(self._slots) > 1:
                total -= self._slots.popitem(last=False)[1].size_bytes
