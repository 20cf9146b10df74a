"""The front of throughput and latency: nothing on it is dominated, everything off it is."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from measure.pareto import (
    Point,
    dominates,
    failed_share,
    front,
    many_failed,
    standings,
    told_apart,
)

# Few different numbers, so that ties come often.
NUMBERS = st.integers(1, 6).map(float)


@st.composite
def clouds(draw: st.DrawFn) -> list[Point]:
    def one(name: str) -> Point:
        latency = draw(NUMBERS)
        width = draw(st.none() | st.floats(0, 3))
        interval = None if width is None else (latency - width, latency + width)
        return Point(name, draw(NUMBERS), latency, interval, draw(st.booleans()))

    return [one(f"p{i}") for i in range(draw(st.integers(0, 12)))]


@given(clouds())
def test_a_valid_point_is_on_the_front_or_dominated_by_one_that_is(points):
    best = front(points)
    assert all(point.valid for point in best)
    for point in points:
        if point in best:
            assert not any(dominates(other, point) for other in points)
        elif point.valid:
            assert any(dominates(other, point) for other in best)


@given(clouds())
def test_along_the_front_more_throughput_costs_latency(points):
    best = front(points)
    for less, more in pairwise(best):
        same = (less.throughput, less.latency_s) == (more.throughput, more.latency_s)
        assert same or (less.throughput < more.throughput and less.latency_s < more.latency_s)


@given(clouds(), st.randoms(use_true_random=False))
def test_the_order_of_the_points_does_not_matter(points, random):
    shuffled = list(points)
    random.shuffle(shuffled)
    assert {point.name for point in front(shuffled)} == {point.name for point in front(points)}


@given(clouds())
def test_a_point_that_nothing_valid_beats_joins_the_front_and_one_without_validity_does_not(points):
    assert Point("best", 7.0, 0.5) in front([*points, Point("best", 7.0, 0.5)])
    assert front([*points, Point("best", 7.0, 0.5, None, False)]) == front(points)


@given(clouds())
def test_not_told_apart_are_those_that_give_no_less_and_overlap(points):
    for one in standings(points):
        others = {point.name: point for point in points if point.name != one.point.name}
        for name in one.not_told_apart:
            assert others[name].valid
            assert others[name].throughput >= one.point.throughput
            assert told_apart(others[name], one.point) is False
        assert set(one.surely_dominated_by) == {
            name
            for name, other in others.items()
            if dominates(other, one.point) and told_apart(other, one.point)
        }


def test_a_lower_latency_whose_interval_overlaps_is_on_the_front_and_says_so():
    fast = Point("fast", 90.0, 0.049, (0.045, 0.055))
    more = Point("more", 100.0, 0.050, (0.046, 0.056))
    slow = Point("slow", 80.0, 0.2, (0.18, 0.3))
    by_name = {one.point.name: one for one in standings([fast, more, slow])}
    assert by_name["fast"].on_front and by_name["fast"].not_told_apart == ("more",)
    assert by_name["more"].on_front and by_name["more"].not_told_apart == ()
    assert not by_name["slow"].on_front
    assert set(by_name["slow"].surely_dominated_by) == {"fast", "more"}


@given(clouds())
def test_without_both_intervals_two_points_are_neither_told_apart_nor_alike(points):
    for one in standings(points):
        others = {point.name: point for point in points if point.name != one.point.name}
        assert set(one.cannot_be_told) == {
            name
            for name, other in others.items()
            if other.valid
            and other.throughput >= one.point.throughput
            and None in (other.interval_s, one.point.interval_s)
        }
        assert not set(one.cannot_be_told) & {*one.not_told_apart, *one.surely_dominated_by}


def test_a_latency_that_is_far_larger_is_not_called_alike_for_want_of_an_interval():
    one, other = Point("one", 1.0, 9.0), Point("other", 2.0, 0.2, (0.19, 0.21))
    found = standings([one, other])[0]
    assert found.dominated_by == found.cannot_be_told == ("other",)
    assert found.not_told_apart == found.surely_dominated_by == ()


@pytest.mark.parametrize(
    ("ok", "failed", "share", "many"),
    [(99, 1, 0.01, False), (98, 2, 0.02, True), (0, 0, 0.0, False), (0, 3, 1.0, True)],
)
def test_failures_are_counted_of_what_finished(ok, failed, share, many):
    summary = {"requests": {"ok": ok, "failed": failed, "cancelled": 900}}
    assert failed_share(summary) == pytest.approx(share)
    assert many_failed(summary) is many
