"""What is kept is bounded by bytes."""

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.kept import Kept


def test_a_thing_is_made_once_while_its_stamp_stays() -> None:
    made: list[str] = []
    kept: Kept[str] = Kept(100, len)
    for stamp in (1, 1, 2):
        kept.get("a", stamp, lambda: made.append("a") or "a" * 10)  # type: ignore[func-returns-value]
    assert len(made) == 2
    assert kept.holds("a", 2)
    assert not kept.holds("a", 1)
    assert not kept.holds("b", 2)
    assert kept.total_bytes == 10


def test_the_one_used_longest_ago_goes_first() -> None:
    kept: Kept[str] = Kept(25, len)
    for name in ("a", "b", "a", "c"):
        kept.get(name, 0, lambda: "x" * 10)
    made: list[str] = []
    kept.get("a", 0, lambda: made.append("a") or "x" * 10)  # type: ignore[func-returns-value]
    assert made == []
    kept.get("b", 0, lambda: made.append("b") or "x" * 10)  # type: ignore[func-returns-value]
    assert made == ["b"]


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 60)), max_size=40))
def test_what_is_kept_never_takes_more_than_the_limit_but_for_one_thing(
    asked: list[tuple[str, int]],
) -> None:
    kept: Kept[str] = Kept(50, len)
    for name, size in asked:
        assert kept.get(name, size, lambda size=size: "x" * size) == "x" * size
        assert kept.total_bytes <= max(50, size)


def test_what_cannot_be_made_is_not_kept_and_can_be_asked_for_again() -> None:
    kept: Kept[str] = Kept(50, len)

    def fails() -> str:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        kept.get("a", 0, fails)
    assert kept.get("a", 0, lambda: "there") == "there"


def test_two_who_ask_at_one_time_make_it_once() -> None:
    made: list[int] = []
    go_on = threading.Event()
    kept: Kept[str] = Kept(50, len)

    def make() -> str:
        made.append(1)
        go_on.wait(10)
        return "x"

    threads = [threading.Thread(target=kept.get, args=("a", 0, make)) for _ in range(4)]
    for thread in threads:
        thread.start()
    go_on.set()
    for thread in threads:
        thread.join()
    assert made == [1]
