"""The statistics, against scipy, against enumeration and in simulations."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from textgym.benchmarks.stats import (
    bootstrap_interval,
    interquartile_mean,
    mean,
    median,
    paired_difference,
    probability_of_improvement,
)
from textgym.errors import ConfigurationError

scipy_stats = pytest.importorskip("scipy.stats")

finite = st.floats(-1e6, 1e6, width=32)
tables = arrays(np.float64, array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=13), elements=finite)


@given(tables)
def test_interquartile_mean_is_scipys_trimmed_mean(table):
    np.testing.assert_allclose(
        interquartile_mean(table), scipy_stats.trim_mean(table, 0.25, axis=-1), rtol=1e-12, atol=1e-6
    )


@given(arrays(np.float64, st.integers(1, 40), elements=finite), st.randoms(use_true_random=False))
def test_averages_do_not_depend_on_order_and_lie_between_the_extremes(scores, shuffler):
    shuffled = scores.tolist()
    shuffler.shuffle(shuffled)
    for statistic in (mean, median, interquartile_mean):
        value = float(statistic(scores))
        assert value == pytest.approx(float(statistic(shuffled)), abs=1e-6, rel=1e-9)
        assert scores.min() - 1e-6 <= value <= scores.max() + 1e-6


def test_interquartile_mean_ignores_one_wild_seed_in_four():
    assert interquartile_mean([0.9, 1.0, 1.1, -1000.0]) == pytest.approx(0.95)
    assert interquartile_mean([0.0, 1.0, 5.0]) == pytest.approx(2.0)  # fewer than four: the mean


def test_bootstrap_of_the_mean_agrees_with_scipy():
    scores = np.random.default_rng(0).normal(size=25)
    ours = bootstrap_interval([scores], np.random.default_rng(1), statistic=mean)
    theirs = scipy_stats.bootstrap((scores,), np.mean, method="percentile", n_resamples=50_000, rng=2)
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.01)
    assert ours.estimate == pytest.approx(scores.mean())
    assert ours.n == 25


def test_bootstrap_agrees_with_all_resamples_written_out():
    scores = np.array([0.0, 1.0, 4.0])
    exact = sorted(np.mean(pick) for pick in itertools.product(scores, repeat=3))
    interval = bootstrap_interval([scores], np.random.default_rng(0), statistic=mean, confidence=0.6)
    assert interval.low == pytest.approx(np.quantile(exact, 0.2), abs=1e-9)
    assert interval.high == pytest.approx(np.quantile(exact, 0.8), abs=1e-9)


def test_resampling_stays_within_tasks():
    # All seeds of a task agree, so within tasks there is nothing to resample, however far the tasks lie apart.
    interval = bootstrap_interval([[0.0] * 5, [100.0] * 5], np.random.default_rng(0), statistic=mean, replicates=500)
    assert (interval.low, interval.estimate, interval.high) == (50.0, 50.0, 50.0)


def test_tasks_may_have_different_numbers_of_seeds():
    interval = bootstrap_interval([[1.0, 2.0, 3.0], [2.0]], np.random.default_rng(0), replicates=2000)
    assert interval.n == 4
    assert interval.low <= interval.estimate == 2.0 <= interval.high


def test_same_generator_same_interval_and_chunks_cover_all_replicates():
    scores = np.random.default_rng(3).normal(size=(20, 10))
    first, second = (bootstrap_interval(scores, np.random.default_rng(7), replicates=5000) for _ in range(2))
    assert first == second
    assert bootstrap_interval(scores, np.random.default_rng(8), replicates=5000) != first
    assert bootstrap_interval(scores, np.random.default_rng(7), replicates=1).low == pytest.approx(
        first.estimate, abs=0.5
    )


def test_paired_difference_cancels_what_a_seed_does_to_both_sides():
    rng = np.random.default_rng(0)
    luck = rng.normal(scale=10.0, size=(2, 12))
    better = luck + 0.5 + rng.normal(scale=0.01, size=luck.shape)
    interval = paired_difference(better, luck, rng, statistic=mean, replicates=4000)
    assert 0.45 < interval.low < interval.estimate < interval.high < 0.55
    mirrored = paired_difference(luck, better, np.random.default_rng(1), statistic=mean, replicates=4000)
    assert mirrored.estimate == pytest.approx(-interval.estimate)
    assert mirrored.high < 0


def test_paired_difference_needs_pairs():
    with pytest.raises(ConfigurationError, match="same seeds on both sides"):
        paired_difference([[1.0, 2.0]], [[1.0]], np.random.default_rng(0))


@given(st.lists(finite, min_size=1, max_size=8), st.lists(finite, min_size=1, max_size=8))
def test_probability_of_improvement_is_the_mann_whitney_statistic(left, right):
    ours = probability_of_improvement([left], [right], np.random.default_rng(0), replicates=50)
    theirs = scipy_stats.mannwhitneyu(left, right, method="asymptotic", use_continuity=False).statistic
    assert ours.estimate == pytest.approx(theirs / (len(left) * len(right)))
    assert 0.0 <= ours.low <= ours.high <= 1.0


def test_probability_of_improvement_points_the_right_way():
    rng = np.random.default_rng(0)
    better, worse = [[0.9, 0.8, 0.7]], [[0.1, 0.2, 0.3, 0.4]]
    assert probability_of_improvement(better, worse, rng, replicates=100).low == 1.0
    assert probability_of_improvement(worse, better, rng, replicates=100).high == 0.0
    assert probability_of_improvement(better, better, rng, replicates=100).estimate == 0.5


@pytest.mark.parametrize("strata", [[], [[]], [[1.0], []], [[float("nan")]], [[[1.0]]]])
def test_scores_that_are_none_are_refused(strata):
    with pytest.raises(ConfigurationError):
        bootstrap_interval(strata, np.random.default_rng(0))


def coverage(simulations: int, replicates: int, *, seed: int) -> float:
    """How often the 95 % interval of 10 seeds on each of 20 tasks holds the true interquartile mean."""
    rng = np.random.default_rng(seed)
    centres = np.linspace(0.0, 1.0, 20)[:, None]
    truth = float(interquartile_mean((centres + 0.2 * rng.standard_normal((20, 100_000))).ravel()))
    hits = 0
    for _ in range(simulations):
        scores = centres + 0.2 * rng.standard_normal((20, 10))
        interval = bootstrap_interval(scores, rng, replicates=replicates)
        hits += interval.low <= truth <= interval.high
    return hits / simulations


def test_intervals_cover_the_truth_in_a_small_simulation():
    assert 0.86 <= coverage(100, 400, seed=0) <= 1.0


@pytest.mark.slow
def test_intervals_cover_the_truth_95_times_in_100():
    assert 0.93 <= coverage(2000, 2000, seed=1) <= 0.97
