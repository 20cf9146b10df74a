import math

import numpy as np
import pytest
from dashboard_runs import HOSTILE
from hypothesis import given
from hypothesis import strategies as st

from dashboard import figures, run_figures, samples, tail_figure
from dashboard.figures import Band, Curve
from dashboard.samples import Sample
from dashboard.theme import Line
from measure import quantiles

LINE = Line("#0072b2", "solid")
T0 = 1_790_000_000.0


def _sample(values: np.ndarray, name: str = "run") -> Sample:
    """A sample of independent values."""
    return Sample(name, LINE, np.sort(values), dict.fromkeys((0.5, 0.99), values.size))


@given(st.integers(1, 300_000))
def test_decimation_keeps_both_ends_and_the_limit(count: int) -> None:
    ranks = samples.decimate(count)
    assert ranks[0] == 0
    assert ranks[-1] == count - 1
    assert len(ranks) <= samples.POINTS
    assert (np.diff(ranks) > 0).all()


def test_decimation_keeps_the_largest_values_and_p999() -> None:
    count = 1_000_000
    kept = samples.decimate(count)
    assert set(range(count - 5, count)) <= set(kept.tolist())
    p999 = quantiles.rank(count, 0.999) - 1
    assert np.abs(kept - p999).min() <= count * 0.001 * 0.02


def test_the_decimated_ecdf_is_the_sample_s_own() -> None:
    values = np.random.default_rng(1).lognormal(size=50_000)
    figure = run_figures.ecdf([_sample(values)], "s")
    x, y = np.array(figure.data[0].x[1:]), np.array(figure.data[0].y[1:])
    exact = np.searchsorted(np.sort(values), x, side="right") / values.size
    assert np.abs(exact - y).max() < 1e-12
    assert y[-1] == 1.0


def test_the_tail_s_quantiles_are_the_exact_ones() -> None:
    values = np.random.default_rng(2).lognormal(size=20_000)
    points = tail_figure.points(_sample(values))
    assert points.survival[-1] == pytest.approx(0.001)
    for survival, value in zip(points.survival.tolist(), points.value.tolist(), strict=True):
        assert value == quantiles.quantile(values, 1 - survival)
    assert (points.low <= points.high).all()


@pytest.mark.parametrize(("count", "furthest"), [(50, 0.02), (200, 0.005), (5, 0.2)])
def test_the_tail_ends_where_the_sample_carries_no_more(count: int, furthest: float) -> None:
    points = tail_figure.points(_sample(np.arange(1.0, count + 1)))
    assert points.survival[-1] >= furthest
    assert len(points.survival) > 0


def test_the_band_is_the_interval_of_the_effective_count_interpolated_between_levels() -> None:
    values = np.arange(1.0, 5001)
    points = tail_figure.points(Sample("r", LINE, values, {0.5: 100, 0.99: 1000}))
    for survival, low, high in zip(
        points.interval_survival.tolist(), points.low.tolist(), points.high.tolist(), strict=True
    ):
        if survival >= 0.5:
            worth = 100
        elif survival <= 0.01:
            worth = 1000
        else:
            worth = int(100 + 900 * math.log(0.5 / survival) / math.log(0.5 / 0.01))
        assert quantiles.stretched_ranks(5000, worth, 1 - survival) == (low, high)
    assert points.interval_survival.min() < 0.01


def test_a_sample_of_unknown_dependence_has_a_tail_and_no_band() -> None:
    points = tail_figure.points(Sample("gaps", LINE, np.arange(1.0, 5001), {}))
    assert points.survival.size > 0
    assert points.interval_survival.size == 0


def test_a_narrow_figure_over_four_decades_has_few_ticks() -> None:
    figure = run_figures.distribution([_sample(np.geomspace(0.001, 10, 500))], "s")
    assert figure.layout.xaxis.ticktext == ("1 ms", "10 ms", "100 ms", "1 s", "10 s")


def test_what_is_counted_and_never_five_has_no_ticks_between() -> None:
    few = {"a": (np.array([0.0, 1.0]), np.array([0.0, 3.0]))}
    assert run_figures.over_time(few, {"a": LINE}, "count", 0.0).layout.yaxis.dtick == 1
    many = {"a": (np.array([0.0, 1.0]), np.array([0.0, 30.0]))}
    assert run_figures.over_time(many, {"a": LINE}, "count", 0.0).layout.yaxis.dtick is None


def test_shares_of_a_distribution_add_up_to_nearly_one() -> None:
    values = np.random.default_rng(3).lognormal(size=5000)
    figure = run_figures.distribution([_sample(values)], "s")
    assert sum(figure.data[0].y[::2]) == pytest.approx(1, abs=0.002)


@pytest.mark.parametrize(
    "draw",
    [run_figures.ecdf, tail_figure.figure, run_figures.distribution],
    ids=["ecdf", "tail", "distribution"],
)
@pytest.mark.parametrize(
    "values", [[], [0.0], [1.0], [0.5, 0.5], [0.0, 1e4], [1e-6, 1e-6, 90.0]], ids=str
)
def test_any_sample_can_be_drawn(draw: object, values: list[float]) -> None:
    figure = draw([_sample(np.array(values)), _sample(np.array([]), "empty")], "s")  # type: ignore[operator]
    figure.to_json()


def test_hostile_names_reach_no_figure_as_tags() -> None:
    hostile = [_sample(np.arange(1.0, 2000), HOSTILE)]
    for figure in (
        run_figures.ecdf(hostile, "s"),
        tail_figure.figure(hostile, "s"),
        run_figures.distribution(hostile, "s"),
        figures.panel([Curve(HOSTILE, LINE, [T0], [1.0])], "s", T0 - 9, T0, 1),
    ):
        assert not any("<" in (trace.name or "") for trace in figure.data)


def test_a_gap_in_a_series_stays_a_gap() -> None:
    curve = Curve("a", LINE, [T0, T0 + 1, T0 + 9, T0 + 10], [1.0, math.nan, 3.0, 4.0])
    figure = figures.panel([curve], "count", T0, T0 + 10, 1)
    assert list(figure.data[0].y) == [1.0, None, 3.0, 4.0, None]


def test_a_stack_falls_to_zero_where_nothing_was_seen_and_only_there() -> None:
    one = Curve("a", LINE, [T0, T0 + 1, T0 + 8, T0 + 9], [1.0, 2.0, 3.0, 4.0], stacked=True)
    other = Curve("b", LINE, [T0, T0 + 1, T0 + 2, T0 + 3], [5.0] * 4, stacked=True)
    drawn = figures.panel([one, other], "count", T0, T0 + 10, 1).data
    seconds = [[(x.timestamp() - T0, y) for x, y in zip(a.x, a.y, strict=True)] for a in drawn]
    assert seconds[0] == [(-1, 0), (0, 1), (1, 2), (2, 0), (7, 0), (8, 3), (9, 4), (10, 0)]
    assert seconds[1] == [(-1, 0), (0, 5), (1, 5), (2, 5), (3, 5), (4, 0)]


def test_a_band_without_an_upper_bound_leaves_the_plot_and_says_so() -> None:
    band = Band("a", LINE, [T0, T0 + 1], [0.1, 80.0], [0.2, math.inf])
    figure = figures.panel([band], "s", T0, T0 + 1, 1)
    top = figure.layout.yaxis.range[1]
    assert figure.data[1].y[1] > top
    assert figure.data[1].text[1] == "> 80 s"


def test_a_panel_without_data_still_has_axes() -> None:
    for unit in ("s", "ratio", "bytes", "count"):
        figure = figures.panel([], unit, T0, T0 + 60, 1)  # type: ignore[arg-type]
        assert figure.layout.yaxis.range is not None
