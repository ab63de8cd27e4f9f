"""Performance profiles and learning curves with bands."""

import numpy as np
import pytest

from textgym.benchmarks.stats import interquartile_mean, mean
from textgym.benchmarks.stats_profiles import on_grid, performance_profile, sample_efficiency
from textgym.errors import ConfigurationError


def test_a_profile_is_the_share_of_runs_above_each_threshold():
    # As published: np.mean(scores > tau) of a table (runs, tasks).
    table = np.random.default_rng(0).random((6, 10))
    places = np.linspace(-0.1, 1.1, 25)
    band = performance_profile(table.T, places, np.random.default_rng(1))
    np.testing.assert_allclose(band.estimate, [np.mean(table > tau) for tau in places], atol=1e-12)
    assert (np.diff(band.estimate) <= 0.0).all()
    assert ((band.low >= 0.0) & (band.low <= band.estimate)).all()
    assert ((band.high <= 1.0) & (band.high >= band.estimate)).all()
    assert (band.estimate[0], band.low[0], band.high[-1]) == (1.0, 1.0, 0.0)
    assert band.n == 60


def test_a_score_at_the_threshold_is_not_above_it():
    band = performance_profile([[0.5, 0.5]], [0.5, 0.4999], np.random.default_rng(0), replicates=50)
    assert band.estimate.tolist() == [0.0, 1.0]


def test_bands_of_a_profile_hold_the_truth():
    rng, hits, simulations = np.random.default_rng(0), np.zeros(3), 300
    places = np.array([-0.5, 0.0, 0.8])
    truth = np.array([0.691462, 0.5, 0.211855])  # of the normal distribution
    for _ in range(simulations):
        band = performance_profile(rng.normal(size=(10, 5)), places, rng, replicates=400)
        hits += (band.low <= truth) & (truth <= band.high)
    assert (hits / simulations >= 0.91).all()
    assert (hits / simulations <= 0.99).all()


def test_a_learning_curve_is_the_statistic_at_each_step():
    curves = np.random.default_rng(0).random((3, 5, 4)).cumsum(axis=2)
    steps = [100, 200, 400, 800]
    found = sample_efficiency(curves, steps, np.random.default_rng(1))
    expected = [float(interquartile_mean(curves[:, :, k].ravel())) for k in range(4)]
    np.testing.assert_allclose(found.band.estimate, expected, atol=1e-12)
    assert (found.band.low < found.band.estimate).all()
    assert (found.band.high > found.band.estimate).all()
    heights = [(a + b) / 2 * width for a, b, width in zip(expected, expected[1:], (100, 200, 400), strict=False)]
    assert found.area.estimate == pytest.approx(sum(heights) / 700, abs=1e-12)
    assert found.area.low < found.area.estimate < found.area.high


def test_a_seeds_curve_is_drawn_as_a_whole():
    # Every curve crosses from one side to the other: points vary, the area under each whole curve does not.
    curves = [[[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]]]
    found = sample_efficiency(curves, [0, 1], np.random.default_rng(0), statistic=mean)
    assert found.band.high[0] - found.band.low[0] > 0.5
    assert found.area.low == pytest.approx(0.5, abs=1e-12)
    assert found.area.high == pytest.approx(0.5, abs=1e-12)


def test_who_learns_early_has_the_larger_area():
    steps = np.arange(11)
    early, late = np.minimum(steps / 2, 1.0), np.maximum(0.0, (steps - 8) / 2)
    rng = np.random.default_rng(0)
    areas = [sample_efficiency([[curve, curve]], steps, rng, replicates=20).area for curve in (early, late)]
    assert areas[0].estimate == pytest.approx(0.9)
    assert areas[1].estimate == pytest.approx(0.1)


def test_curves_come_to_one_grid():
    np.testing.assert_allclose(on_grid([10, 30], [0.0, 1.0], [0, 10, 20, 30, 99]), [0.0, 0.0, 0.5, 1.0, 1.0])


@pytest.mark.parametrize(
    ("steps", "curves", "match"),
    [
        ([1, 1], [[[0.0, 1.0]]], "rising order"),
        ([2], [[[0.0]]], "at least two"),
        ([1, 2, 3], [[[0.0, 1.0]]], "on_grid"),
        ([1, 2], [[0.0, 1.0]], "one list a task"),
        ([1, float("nan")], [[[0.0, 1.0]]], "finite"),
    ],
)
def test_curves_that_cannot_be_are_refused(steps, curves, match):
    with pytest.raises(ConfigurationError, match=match):
        sample_efficiency(curves, steps, np.random.default_rng(0))


def test_points_out_of_order_are_refused():
    with pytest.raises(ConfigurationError, match="rising order"):
        on_grid([2, 1], [0.0, 1.0], [1])
