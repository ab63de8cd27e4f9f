"""The statistics, against scipy, against enumeration and in simulations."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from textgym.benchmarks.stats import (
    aggregates,
    bootstrap_interval,
    interquartile_mean,
    mean,
    median,
    optimality_gap,
    over_task_means,
    paired_difference,
    probability_of_improvement,
)
from textgym.benchmarks.stats_coverage import REPLICATES, SEEDS, STATISTICS, TASKS, WORLDS, coverage, markdown, report
from textgym.benchmarks.stats_resampling import resampled_shares, resamples, spread_of, spread_of_trimmed_mean
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


@pytest.mark.parametrize("seed", range(40))
def test_the_quick_spread_of_the_interquartile_mean_is_the_slow_one(seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 12, size=rng.integers(1, 30))
    draw = rng.normal if seed % 3 else lambda size: rng.integers(3, size=size).astype(float)  # with ties, too
    tasks = [draw(size=size) for size in [4, *sizes]]
    quick, slow = spread_of_trimmed_mean(tasks, sum(map(len, tasks)) // 4), spread_of(tasks, interquartile_mean)
    np.testing.assert_allclose(quick.factor, slow.factor, rtol=1e-9)
    np.testing.assert_allclose(quick.degrees, slow.degrees, rtol=1e-6)


def test_counted_resamples_are_those_that_are_drawn():
    rng = np.random.default_rng(0)
    tasks = [rng.random((size, 5)) > 0.5 for size in (1, 3, 8)]
    drawn = resamples([task.astype(float) for task in tasks], np.random.default_rng(1), 700)
    counted = resampled_shares(tasks, np.random.default_rng(1), 700)
    np.testing.assert_allclose(counted, np.concatenate([chunk.mean(axis=1) for chunk in drawn]), atol=1e-12)


def test_interquartile_mean_ignores_one_wild_seed_in_four():
    assert interquartile_mean([0.9, 1.0, 1.1, -1000.0]) == pytest.approx(0.95)
    assert interquartile_mean([0.0, 1.0, 5.0]) == pytest.approx(2.0)  # fewer than four: the mean


def test_bootstrap_of_the_mean_agrees_with_scipy():
    scores = np.random.default_rng(0).normal(size=25)
    ours = bootstrap_interval([scores], np.random.default_rng(1), statistic=mean, method="percentile")
    theirs = scipy_stats.bootstrap((scores,), np.mean, method="percentile", n_resamples=50_000, rng=2)
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.01)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.01)
    assert ours.estimate == pytest.approx(scores.mean())
    assert ours.n == 25


def test_bootstrap_agrees_with_all_resamples_written_out():
    scores = np.array([0.0, 1.0, 4.0])
    exact = sorted(np.mean(pick) for pick in itertools.product(scores, repeat=3))
    interval = bootstrap_interval(
        [scores], np.random.default_rng(0), statistic=mean, confidence=0.6, method="percentile"
    )
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


def test_averages_of_a_table_are_those_that_were_published():
    # Written as in Agarwal et al. 2021, whose tables are (runs, tasks).
    table = np.random.default_rng(0).normal(0.7, 0.4, size=(7, 10))
    found = aggregates(table.T, np.random.default_rng(1), replicates=50)
    expected = {
        "interquartile mean": scipy_stats.trim_mean(table, proportiontocut=0.25, axis=None),
        "median": np.median(np.mean(table, axis=0)),
        "mean": np.mean(np.mean(table, axis=0)),
        "optimality gap": 1.0 - np.mean(np.minimum(table, 1.0)),
    }
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].estimate == pytest.approx(value, abs=1e-9)
        assert found[name].low < found[name].estimate < found[name].high
    assert found["median"].estimate != pytest.approx(np.median(table), abs=1e-3)


@given(tables)
def test_optimality_gap_does_not_let_one_score_make_up_for_another(table):
    gap = optimality_gap(table)
    assert (gap >= -1e-9).all()
    np.testing.assert_allclose(gap, (1.0 - np.minimum(table, 1.0)).mean(axis=-1), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(optimality_gap(np.maximum(table, 1.0)), 0.0, atol=1e-12)


def test_tasks_of_different_size_have_means_of_their_own():
    tasks = [[1.0, 2.0, 3.0], [10.0], [5.0, 7.0]]
    statistic = over_task_means(median, tasks)
    assert statistic(np.array([1.0, 2.0, 3.0, 10.0, 5.0, 7.0])) == 6.0
    batch = np.arange(12.0).reshape(2, 6)
    np.testing.assert_allclose(statistic(batch), [3.0, 9.0])


def test_an_interval_of_one_task_is_students():
    # The mean of normal scores: the stretched interval is about t standard errors wide, the percentile one is not.
    rng = np.random.default_rng(0)
    ratios = {"stretched": [], "percentile": []}
    for _ in range(100):
        scores = rng.normal(size=8)
        half = scipy_stats.t.ppf(0.975, 7) * scores.std(ddof=1) / np.sqrt(8)
        for method, found in ratios.items():
            interval = bootstrap_interval([scores], rng, statistic=mean, replicates=2000, method=method)
            found.append((interval.high - interval.low) / (2 * half))
    assert np.mean(ratios["stretched"]) == pytest.approx(1.0, abs=0.02)
    assert np.mean(ratios["percentile"]) == pytest.approx(1.959964 / 2.364624 * np.sqrt(7 / 8), abs=0.02)


def test_the_standard_error_is_that_of_the_mean():
    scores = np.random.default_rng(0).normal(size=(4, 6))
    interval = bootstrap_interval(scores, np.random.default_rng(1), statistic=mean)
    exact = np.sqrt((scores.var(axis=1, ddof=1) / 6).sum()) / 4
    assert interval.standard_error == pytest.approx(exact, rel=0.02)
    variances = scores.var(axis=1, ddof=1)
    assert interval.degrees == pytest.approx(variances.sum() ** 2 / (variances**2 / 7).sum() - 2.0)


def test_one_seed_a_task_has_nothing_to_resample():
    interval = bootstrap_interval([[0.2], [0.4]], np.random.default_rng(0), statistic=mean, replicates=100)
    assert interval.low == interval.high == interval.estimate == pytest.approx(0.3)
    assert interval.standard_error == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("wrong", [{"replicates": 0}, {"confidence": 1.0}, {"confidence": 95.0}])
def test_numbers_that_make_no_interval_are_refused(wrong):
    with pytest.raises(ConfigurationError, match="expected at least 1 and a share"):
        bootstrap_interval([[1.0, 2.0]], np.random.default_rng(0), **wrong)


def test_intervals_cover_the_truth_in_a_small_simulation():
    assert 0.90 <= coverage("normal", interquartile_mean, seeds=3, simulations=150, replicates=400) <= 1.0
    plain = coverage("normal", mean, seeds=3, simulations=150, replicates=400, method="percentile")
    assert plain < 0.93  # which is why intervals are stretched


def test_the_bench_command_times_the_table_of_the_bar_and_simulates():
    head, _, *lines = report(rounds=1)
    assert (REPLICATES, TASKS, SEEDS) == (50_000, 10, 20)
    assert head.startswith("50,000 replicates of 10 tasks x 20 seeds")
    assert len(lines) == 4
    assert all(float(line.split()[-1]) >= 0.0 for line in lines)
    rows = [line for line in markdown(simulations=2) if line.startswith("| ")][1:]
    assert len(rows) == len(STATISTICS) * len(WORLDS) + 3
    assert {row.count("%") for row in rows} == {4}


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10, 20])
@pytest.mark.parametrize("world", WORLDS)
def test_intervals_cover_the_truth_95_times_in_100(world, seeds):
    assert 0.93 <= coverage(world, interquartile_mean, seeds=seeds, simulations=1000) <= 0.97
